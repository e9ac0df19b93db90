//! A cache with one flight per key: any number of callers who want the same thing cause one call and share what comes
//! of it, the error too.
//!
//! The flight is a task of its own, so it survives the caller that began it; a flight that panics fails its waiters and
//! leaves the slot clear. A failed flight never replaces a good value, and is remembered for a moment, so that a burst
//! of callers does not become a burst of calls.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::SharedTimeSource;

/// How long a failure is remembered (B7: kubectl runs its plugin six times in a row).
const REMEMBERED: Duration = Duration::from_secs(5);

/// What a flight comes to.
pub type Outcome<V, E> = Result<Arc<V>, Failure<E>>;

/// Why there is no new value.
#[derive(Debug)]
pub enum Failure<E> {
    /// The flight said so.
    Known(Arc<E>),
    /// The flight is still under way, and the caller does not wait any longer.
    Slow,
    /// The flight ended without a word: a bug of ours.
    Lost,
}

/// Values by key.
pub struct Cache<K, V, E> {
    slots: Mutex<HashMap<K, Slot<V, E>>>,
    time: SharedTimeSource,
}

struct Slot<V, E> {
    value: Option<Arc<V>>,
    failed: Option<(Arc<E>, SystemTime)>,
    flight: Option<Flight<V, E>>,
}

/// A call that is under way.
struct Flight<V, E> {
    landed: watch::Receiver<Option<Outcome<V, E>>>,
    began: Instant,
}

/// Clears the slot's flight when the flight ends, however it ends.
struct Landing<K: Eq + Hash, V, E> {
    cache: Arc<Cache<K, V, E>>,
    key: K,
    flight: Flight<V, E>,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// An empty cache.
    #[must_use]
    pub fn new(time: SharedTimeSource) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::new(HashMap::new()), time })
    }

    /// What is there, however old.
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.slots().get(key).and_then(|slot| slot.value.clone())
    }

    /// The failure that is remembered at `now`. One from the future, after the clock was set back, is forgotten.
    pub fn failed(&self, key: &K, now: SystemTime) -> Option<Arc<E>> {
        let slots = self.slots();
        let (error, at) = slots.get(key)?.failed.as_ref()?;
        let is_recent = now.duration_since(*at).is_ok_and(|age| age < REMEMBERED);
        is_recent.then(|| Arc::clone(error))
    }

    /// Joins the flight for `key`, or begins one with `fly`. Nobody waits beyond `patience`, counted from the flight's
    /// beginning, if there is one: the flight goes on without them.
    pub async fn fly<F>(self: &Arc<Self>, key: &K, patience: Option<Duration>, fly: impl FnOnce() -> F) -> Outcome<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let Flight { mut landed, began } = self.board(key, fly);
        let outcome = landed.wait_for(Option::is_some);
        let outcome = match patience {
            None => outcome.await,
            Some(patience) => match tokio::time::timeout_at(began + patience, outcome).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(Failure::Slow),
            },
        };
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(Failure::Lost))
    }

    /// Every value that is there, however old.
    pub fn all(&self) -> Vec<(K, Arc<V>)> {
        let slots = self.slots();
        slots.iter().filter_map(|(key, slot)| Some((key.clone(), Arc::clone(slot.value.as_ref()?)))).collect()
    }

    /// Keeps a value that was not flown for, unless there is one.
    pub fn put(&self, key: K, value: V) {
        self.slots().entry(key).or_insert_with(Slot::empty).value.get_or_insert_with(|| Arc::new(value));
    }

    /// Forgets every key that `keep` does not want, with what is in flight for it.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.slots().retain(|key, _| keep(key));
    }

    fn board<F>(self: &Arc<Self>, key: &K, fly: impl FnOnce() -> F) -> Flight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_insert_with(Slot::empty);
        if let Some(flight) = &slot.flight {
            return flight.clone();
        }
        let (land, landed) = watch::channel(None);
        let flight = Flight { landed, began: Instant::now() };
        slot.flight = Some(flight.clone());
        drop(slots);
        let landing = Landing { cache: Arc::clone(self), key: key.clone(), flight: flight.clone() };
        let call = fly();
        tokio::spawn(async move {
            let outcome = landing.keep(call.await);
            drop(landing); // before anybody hears of it, so that whoever asks next begins anew
            land.send_replace(Some(outcome));
        });
        flight
    }
}

impl<K: Eq + Hash, V, E> Landing<K, V, E> {
    /// Stores what the flight brought, unless its slot was forgotten meanwhile, or forgotten and begun anew.
    fn keep(&self, result: Result<V, E>) -> Outcome<V, E> {
        let outcome = result.map(Arc::new).map_err(Arc::new);
        let now = self.cache.time.now();
        if let Some(slot) = self.own_slot(&mut self.cache.slots()) {
            match &outcome {
                Ok(value) => {
                    slot.value = Some(Arc::clone(value));
                    slot.failed = None;
                }
                Err(error) => slot.failed = Some((Arc::clone(error), now)),
            }
        }
        outcome.map_err(Failure::Known)
    }

    fn own_slot<'a>(&self, slots: &'a mut HashMap<K, Slot<V, E>>) -> Option<&'a mut Slot<V, E>> {
        let own = |flight: &Flight<V, E>| flight.landed.same_channel(&self.flight.landed);
        slots.get_mut(&self.key).filter(|slot| slot.flight.as_ref().is_some_and(own))
    }
}

impl<K, V, E> Cache<K, V, E> {
    /// The map. It is whole at every unlock, so a panic elsewhere does not spoil it.
    fn slots(&self) -> MutexGuard<'_, HashMap<K, Slot<V, E>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Slot<V, E> {
    const fn empty() -> Self {
        Self { value: None, failed: None, flight: None }
    }
}

impl<K: Eq + Hash, V, E> Drop for Landing<K, V, E> {
    fn drop(&mut self) {
        if let Some(slot) = self.own_slot(&mut self.cache.slots()) {
            slot.flight = None;
        }
    }
}

impl<V, E> Clone for Flight<V, E> {
    fn clone(&self) -> Self {
        Self { landed: self.landed.clone(), began: self.began }
    }
}

impl<E> Clone for Failure<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Known(error) => Self::Known(Arc::clone(error)),
            Self::Slow => Self::Slow,
            Self::Lost => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_async::time::StaticTimeSource;
    use tokio::sync::oneshot;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    type Numbers = Cache<&'static str, u32, &'static str>;

    fn numbers() -> Arc<Numbers> {
        Numbers::new(SharedTimeSource::new(StaticTimeSource::new(NOW)))
    }

    fn known(outcome: Outcome<u32, &'static str>) -> Result<u32, &'static str> {
        match outcome {
            Ok(value) => Ok(*value),
            Err(Failure::Known(error)) => Err(*error),
            Err(Failure::Slow) => Err("slow"),
            Err(Failure::Lost) => Err("lost"),
        }
    }

    #[tokio::test]
    async fn row_72_a_thousand_callers_are_one_flight() {
        let cache = numbers();
        let (open, gate) = oneshot::channel::<()>();
        let flights = Arc::new(AtomicUsize::new(0));
        let mut gate = Some(gate);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let (gate, flights) = (gate.take(), Arc::clone(&flights));
                let mut landed = cache.board(&"prod", || async move {
                    flights.fetch_add(1, Ordering::SeqCst);
                    gate.unwrap().await.unwrap();
                    Ok(7)
                });
                async move { landed.landed.wait_for(Option::is_some).await.unwrap().clone().unwrap() }
            })
            .collect();
        open.send(()).unwrap();
        for caller in callers {
            assert_eq!(known(caller.await), Ok(7));
        }
        assert_eq!(flights.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn row_74_the_flight_survives_the_caller_that_began_it() {
        let cache = numbers();
        let (open, gate) = oneshot::channel::<()>();
        let leader = cache.board(&"prod", || async move {
            gate.await.unwrap();
            Ok(7)
        });
        drop(leader);
        let waiter = cache.board(&"prod", || async { panic!("a second flight") });
        open.send(()).unwrap();
        let mut waiter = waiter;
        assert_eq!(known(waiter.landed.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(7));
    }

    #[tokio::test]
    async fn row_21_a_panic_fails_the_waiters_and_clears_the_slot() {
        let cache = numbers();
        assert_eq!(known(cache.fly(&"prod", None, || async { panic!("as the test wants") }).await), Err("lost"));
        assert_eq!(known(cache.fly(&"prod", None, || async { Ok(7) }).await), Ok(7));
    }

    #[tokio::test]
    async fn a_failure_keeps_the_value_and_is_remembered_for_a_moment() {
        let cache = numbers();
        assert_eq!(known(cache.fly(&"prod", None, || async { Ok(7) }).await), Ok(7));
        assert_eq!(known(cache.fly(&"prod", None, || async { Err("down") }).await), Err("down"));
        assert_eq!(cache.peek(&"prod").as_deref(), Some(&7));
        assert!(cache.failed(&"prod", NOW + REMEMBERED / 2).is_some());
        assert!(cache.failed(&"prod", NOW + REMEMBERED).is_none());
        assert_eq!(known(cache.fly(&"prod", None, || async { Ok(8) }).await), Ok(8));
        assert!(cache.failed(&"prod", NOW).is_none());
    }

    #[tokio::test]
    async fn a_value_that_is_put_in_does_not_replace_one() {
        let cache = numbers();
        assert_eq!(known(cache.fly(&"prod", None, || async { Ok(7) }).await), Ok(7));
        assert_eq!(known(cache.fly(&"audit", None, || async { Err("down") }).await), Err("down"));
        cache.put("prod", 1);
        cache.put("staging", 2);
        let mut all: Vec<_> = cache.all().into_iter().map(|(key, value)| (key, *value)).collect();
        all.sort_unstable();
        assert_eq!(all, [("prod", 7), ("staging", 2)]);
    }

    #[tokio::test]
    async fn what_was_forgotten_in_flight_is_not_kept() {
        let cache = numbers();
        let (open, gate) = oneshot::channel::<()>();
        let mut landed = cache.board(&"prod", || async move {
            gate.await.unwrap();
            Ok(7)
        });
        cache.retain(|_| false);
        open.send(()).unwrap();
        assert_eq!(known(landed.landed.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(7));
        assert_eq!(cache.peek(&"prod"), None);
    }

    #[tokio::test]
    async fn a_flight_that_was_forgotten_does_not_land_in_the_slot_of_another() {
        let cache = numbers();
        let (open_old, old_gate) = oneshot::channel::<()>();
        let mut old = cache.board(&"prod", || async move {
            old_gate.await.unwrap();
            Ok(1)
        });
        cache.retain(|_| false);
        let (open_new, new_gate) = oneshot::channel::<()>();
        let mut new = cache.board(&"prod", || async move {
            new_gate.await.unwrap();
            Ok(2)
        });
        open_old.send(()).unwrap();
        assert_eq!(known(old.landed.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(1));
        assert_eq!(cache.peek(&"prod"), None);
        let joined = cache.board(&"prod", || async { panic!("a third flight") });
        assert!(joined.landed.same_channel(&new.landed));
        open_new.send(()).unwrap();
        assert_eq!(known(new.landed.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(2));
        assert_eq!(cache.peek(&"prod").as_deref(), Some(&2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_their_patience_counted_from_the_flights_beginning() {
        let cache = numbers();
        let patience = Some(Duration::from_secs(3));
        let begin = Instant::now();
        let never = || std::future::pending::<Result<u32, &'static str>>();
        assert_eq!(known(cache.fly(&"prod", patience, never).await), Err("slow"));
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        assert_eq!(known(cache.fly(&"prod", patience, never).await), Err("slow"));
        assert_eq!(begin.elapsed(), Duration::from_secs(3), "the second caller did not wait at all");
    }

    #[tokio::test]
    async fn row_76_a_failure_from_the_future_is_forgotten() {
        let cache = numbers();
        assert_eq!(known(cache.fly(&"prod", None, || async { Err("clock") }).await), Err("clock"));
        assert!(cache.failed(&"prod", NOW).is_some());
        assert!(cache.failed(&"prod", NOW - Duration::from_hours(2)).is_none());
    }
}
