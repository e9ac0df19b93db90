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

/// How long a failure is remembered (B7: kubectl runs its plugin six times in a row).
const REMEMBERED: Duration = Duration::from_secs(5);

/// What a flight comes to.
pub type Outcome<V, E> = Result<Arc<V>, Failure<E>>;

/// Why there is no new value.
#[derive(Debug)]
pub enum Failure<E> {
    /// The flight said so.
    Known(Arc<E>),
    /// The flight ended without a word: a bug of ours.
    Lost,
}

/// Values by key.
pub struct Cache<K, V, E> {
    slots: Mutex<HashMap<K, Slot<V, E>>>,
}

struct Slot<V, E> {
    value: Option<Arc<V>>,
    failed: Option<(Arc<E>, SystemTime)>,
    flight: Option<watch::Receiver<Option<Outcome<V, E>>>>,
}

/// Clears the slot's flight when the flight ends, however it ends.
struct Landing<K: Eq + Hash, V, E> {
    cache: Arc<Cache<K, V, E>>,
    key: K,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// An empty cache.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { slots: Mutex::new(HashMap::new()) })
    }

    /// What is there, however old.
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.slots().get(key).and_then(|slot| slot.value.clone())
    }

    /// The failure that is remembered at `now`.
    pub fn failed(&self, key: &K, now: SystemTime) -> Option<Arc<E>> {
        let slots = self.slots();
        let (error, at) = slots.get(key)?.failed.as_ref()?;
        let age = now.duration_since(*at).unwrap_or_default();
        (age < REMEMBERED).then(|| Arc::clone(error))
    }

    /// Joins the flight for `key`, or begins one with `fly`.
    pub async fn fly<F>(self: &Arc<Self>, key: &K, now: SystemTime, fly: impl FnOnce() -> F) -> Outcome<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut landed = self.board(key, now, fly);
        let outcome = landed.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(Failure::Lost))
    }

    /// Forgets every key that `keep` does not want, with what is in flight for it.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.slots().retain(|key, _| keep(key));
    }

    fn board<F>(
        self: &Arc<Self>,
        key: &K,
        now: SystemTime,
        fly: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<Outcome<V, E>>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_insert_with(Slot::empty);
        if let Some(flight) = &slot.flight {
            return flight.clone();
        }
        let (land, landed) = watch::channel(None);
        slot.flight = Some(landed.clone());
        drop(slots);
        let landing = Landing { cache: Arc::clone(self), key: key.clone() };
        let flight = fly();
        tokio::spawn(async move {
            let outcome = landing.cache.keep(&landing.key, flight.await, now);
            drop(landing); // before anybody hears of it, so that whoever asks next begins anew
            land.send_replace(Some(outcome));
        });
        landed
    }

    /// Stores what a flight brought. A slot that was forgotten meanwhile stays so.
    fn keep(&self, key: &K, result: Result<V, E>, now: SystemTime) -> Outcome<V, E> {
        let outcome = result.map(Arc::new).map_err(Arc::new);
        if let Some(slot) = self.slots().get_mut(key) {
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
        if let Some(slot) = self.cache.slots().get_mut(&self.key) {
            slot.flight = None;
        }
    }
}

impl<E> Clone for Failure<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Known(error) => Self::Known(Arc::clone(error)),
            Self::Lost => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    type Numbers = Cache<&'static str, u32, &'static str>;

    fn known(outcome: Outcome<u32, &'static str>) -> Result<u32, &'static str> {
        match outcome {
            Ok(value) => Ok(*value),
            Err(Failure::Known(error)) => Err(*error),
            Err(Failure::Lost) => Err("lost"),
        }
    }

    #[tokio::test]
    async fn row_72_a_thousand_callers_are_one_flight() {
        let cache = Numbers::new();
        let (open, gate) = oneshot::channel::<()>();
        let flights = Arc::new(AtomicUsize::new(0));
        let mut gate = Some(gate);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let (gate, flights) = (gate.take(), Arc::clone(&flights));
                let mut landed = cache.board(&"prod", NOW, || async move {
                    flights.fetch_add(1, Ordering::SeqCst);
                    gate.unwrap().await.unwrap();
                    Ok(7)
                });
                async move { landed.wait_for(Option::is_some).await.unwrap().clone().unwrap() }
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
        let cache = Numbers::new();
        let (open, gate) = oneshot::channel::<()>();
        let leader = cache.board(&"prod", NOW, || async move {
            gate.await.unwrap();
            Ok(7)
        });
        drop(leader);
        let waiter = cache.board(&"prod", NOW, || async { panic!("a second flight") });
        open.send(()).unwrap();
        let mut waiter = waiter;
        assert_eq!(known(waiter.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(7));
    }

    #[tokio::test]
    async fn row_21_a_panic_fails_the_waiters_and_clears_the_slot() {
        let cache = Numbers::new();
        assert_eq!(known(cache.fly(&"prod", NOW, || async { panic!("as the test wants") }).await), Err("lost"));
        assert_eq!(known(cache.fly(&"prod", NOW, || async { Ok(7) }).await), Ok(7));
    }

    #[tokio::test]
    async fn a_failure_keeps_the_value_and_is_remembered_for_a_moment() {
        let cache = Numbers::new();
        assert_eq!(known(cache.fly(&"prod", NOW, || async { Ok(7) }).await), Ok(7));
        assert_eq!(known(cache.fly(&"prod", NOW, || async { Err("down") }).await), Err("down"));
        assert_eq!(cache.peek(&"prod").as_deref(), Some(&7));
        assert!(cache.failed(&"prod", NOW + REMEMBERED / 2).is_some());
        assert!(cache.failed(&"prod", NOW + REMEMBERED).is_none());
        assert_eq!(known(cache.fly(&"prod", NOW, || async { Ok(8) }).await), Ok(8));
        assert!(cache.failed(&"prod", NOW).is_none());
    }

    #[tokio::test]
    async fn what_was_forgotten_in_flight_is_not_kept() {
        let cache = Numbers::new();
        let (open, gate) = oneshot::channel::<()>();
        let mut landed = cache.board(&"prod", NOW, || async move {
            gate.await.unwrap();
            Ok(7)
        });
        cache.retain(|_| false);
        open.send(()).unwrap();
        assert_eq!(known(landed.wait_for(Option::is_some).await.unwrap().clone().unwrap()), Ok(7));
        assert_eq!(cache.peek(&"prod"), None);
    }
}
