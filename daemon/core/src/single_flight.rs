//! A cache with one flight per key: any number of callers who want the same thing cause one call and share what comes
//! of it, the error too.
//!
//! The flight is a task of its own, so it survives the caller that started_at it; a flight that panics fails its waiters and
//! leaves the slot clear. A failed flight never replaces a good value, and is remembered for a while, so that a burst
//! of callers does not become a burst of calls.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::SharedTimeSource;
use crate::sync_shim::{Mutex, MutexGuard, PoisonError, spawn};

/// Slots that are kept. Beyond it the one that was not looked at for longest makes room (B17).
pub const MAX_SLOTS: usize = 4096;

/// What a flight comes to.
pub type Outcome<V, E> = Result<Arc<V>, LoadError<E>>;

/// Why there is no new value.
#[derive(Debug)]
pub enum LoadError<E> {
    /// The flight said so.
    Failed(Arc<E>),
    /// The flight ended without a word: a bug of ours.
    Lost,
}

/// An error that knows how long another attempt makes no sense.
pub trait FailureTtl {
    /// For how long after the last of so many failures in a row. [`Duration::MAX`] is until it is forgotten.
    fn failure_ttl(&self, failures: u32) -> Duration;
}

/// What went wrong with a key, if nothing has gone right since.
#[derive(Debug)]
pub struct LastFailure<E> {
    /// The last error.
    pub error: Arc<E>,
    /// When the first of its kind happened.
    pub since: SystemTime,
    /// When the last happened.
    pub last: SystemTime,
    /// How many in a row.
    pub failures: u32,
}

/// What there is of a key.
#[derive(Debug)]
pub struct CacheEntry<V, E> {
    /// The last value, however old.
    pub value: Option<Arc<V>>,
    /// What went wrong since.
    pub last_failure: Option<LastFailure<E>>,
}

/// Values by key.
pub struct Cache<K, V, E> {
    slots: Mutex<Slots<K, V, E>>,
    time: SharedTimeSource,
    load_ended: Box<dyn Fn(&K) + Send + Sync>,
}

struct Slots<K, V, E> {
    by_key: HashMap<K, Slot<V, E>>,
    /// Counts looks; the larger a slot's number, the more recent.
    looks: u64,
    /// Whether nothing is kept, and nothing begun.
    is_closed: bool,
}

struct Slot<V, E> {
    value: Option<Arc<V>>,
    last_failure: Option<LastFailure<E>>,
    flight: Option<InFlight<V, E>>,
    /// Whether the reason for a failure of that flight is forgiven already.
    ignores_result: bool,
    looked: u64,
}

/// A call that is under way.
pub struct InFlight<V, E> {
    outcome: watch::Receiver<Option<Outcome<V, E>>>,
    started_at: Instant,
}

/// Clears the slot's flight when the flight ends, however it ends.
struct LoadGuard<K: Eq + Hash, V, E> {
    cache: Arc<Cache<K, V, E>>,
    key: K,
    flight: InFlight<V, E>,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: FailureTtl + Send + Sync + 'static,
{
    /// An empty cache. `load_ended` is called after each flight that changed a slot.
    #[must_use]
    pub fn new(time: SharedTimeSource, load_ended: impl Fn(&K) + Send + Sync + 'static) -> Arc<Self> {
        let slots = Mutex::new(Slots { by_key: HashMap::new(), looks: 0, is_closed: false });
        Arc::new(Self { slots, time, load_ended: Box::new(load_ended) })
    }

    /// What is there of a key.
    pub fn peek(&self, key: &K) -> CacheEntry<V, E> {
        let mut slots = self.slots();
        slots.looks += 1;
        let looks = slots.looks;
        match slots.by_key.get_mut(key) {
            Some(slot) => {
                slot.looked = looks;
                CacheEntry { value: slot.value.clone(), last_failure: slot.last_failure.clone() }
            }
            None => CacheEntry { value: None, last_failure: None },
        }
    }

    /// Whether there is a flight for a key.
    pub fn is_loading(&self, key: &K) -> bool {
        self.slots().by_key.get(key).is_some_and(|slot| slot.flight.is_some())
    }

    /// Joins the flight for `key`, or begins one with `fly`. The flight goes on without those who do not wait for it.
    pub fn get_or_start<F>(self: &Arc<Self>, key: &K, fly: impl FnOnce() -> F) -> InFlight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut slots = self.slots();
        if let Some(flight) = slots.by_key.get(key).and_then(|slot| slot.flight.as_ref()) {
            return flight.clone();
        }
        let (land, outcome) = watch::channel(None);
        let flight = InFlight { outcome, started_at: Instant::now() };
        if slots.is_closed {
            return flight; // without anybody to land it, it is lost
        }
        slots.of(key).flight = Some(flight.clone());
        drop(slots);
        let landing = LoadGuard { cache: Arc::clone(self), key: key.clone(), flight: flight.clone() };
        let call = fly();
        spawn(async move {
            let outcome = landing.keep(call.await);
            drop(landing); // before anybody hears of it, so that whoever asks next begins anew
            land.send_replace(Some(outcome));
        });
        flight
    }

    /// Puts a value in place that came from elsewhere, unless there is one.
    pub fn insert_if_absent(&self, key: &K, value: V) {
        let mut slots = self.slots();
        if slots.is_closed {
            return;
        }
        let slot = slots.of(key);
        if slot.value.is_none() {
            slot.value = Some(Arc::new(value));
        }
    }

    /// Every key that has a slot, a value in it or not.
    pub fn keys(&self) -> Vec<K> {
        self.slots().by_key.keys().cloned().collect()
    }

    /// Every value.
    pub fn values(&self) -> Vec<(K, Arc<V>)> {
        let slots = self.slots();
        slots.by_key.iter().filter_map(|(key, slot)| Some((key.clone(), slot.value.clone()?))).collect()
    }

    /// Drops the values that `of` names; loads in flight go on. Returns how many values were dropped.
    pub fn invalidate(&self, of: impl Fn(&K, &V) -> bool) -> usize {
        let mut slots = self.slots();
        let dropped = slots.by_key.iter_mut().filter_map(|(key, slot)| slot.value.take_if(|value| of(key, value)));
        dropped.count()
    }

    /// Forgets every key that `keep` does not want, with what is in flight for it.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.slots().by_key.retain(|key, _| keep(key));
    }

    /// Forgets everything, with what is in flight, and takes nothing in until it is opened.
    pub fn close(&self) {
        let mut slots = self.slots();
        slots.is_closed = true;
        slots.by_key = HashMap::new();
    }

    /// Takes things in again.
    pub fn open(&self) {
        self.slots().is_closed = false;
    }

    /// Forgets the failures `of` those keys that `forget` names: there is reason to believe that it goes better now. What is
    /// in flight for such a key started_at before, and if it fails that is not remembered either, whatever it is.
    pub fn clear_failures(&self, of: impl Fn(&K) -> bool, forget: impl Fn(&E) -> bool) {
        for (_, slot) in self.slots().by_key.iter_mut().filter(|(key, _)| of(key)) {
            if slot.last_failure.as_ref().is_some_and(|last_failure| forget(&last_failure.error)) {
                slot.last_failure = None;
            }
            slot.ignores_result = slot.flight.is_some();
        }
    }
}

impl<K: Eq + Hash + Clone, V, E> Slots<K, V, E> {
    /// The slot of a key, made if there is none.
    fn of(&mut self, key: &K) -> &mut Slot<V, E> {
        if !self.by_key.contains_key(key) && self.by_key.len() >= MAX_SLOTS {
            self.make_room();
        }
        self.looks += 1;
        let slot = self.by_key.entry(key.clone()).or_insert_with(Slot::empty);
        slot.looked = self.looks;
        slot
    }

    /// Drops what was not looked at for longest; what is in flight is wanted.
    fn make_room(&mut self) {
        let idle = self.by_key.iter().filter(|(_, slot)| slot.flight.is_none());
        if let Some(key) = idle.min_by_key(|(_, slot)| slot.looked).map(|(key, _)| key.clone()) {
            self.by_key.remove(&key);
        }
    }
}

impl<V: Send + Sync, E: Send + Sync> InFlight<V, E> {
    /// What the flight comes to.
    pub async fn wait(mut self) -> Outcome<V, E> {
        let outcome = self.outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(LoadError::Lost))
    }

    /// When it started_at.
    pub const fn started_at(&self) -> Instant {
        self.started_at
    }
}

impl<K: Eq + Hash, V, E> LoadGuard<K, V, E> {
    /// Stores what the flight brought, unless its slot was forgotten meanwhile, or forgotten and begun anew.
    fn keep(&self, result: Result<V, E>) -> Outcome<V, E> {
        let outcome = result.map(Arc::new).map_err(Arc::new);
        let now = self.cache.time.now();
        if let Some(slot) = self.own_slot(&mut self.cache.slots()) {
            match &outcome {
                Ok(value) => {
                    slot.value = Some(Arc::clone(value));
                    slot.last_failure = None;
                }
                Err(_) if slot.ignores_result => {}
                Err(error) => slot.fail(error, now),
            }
        }
        outcome.map_err(LoadError::Failed)
    }

    fn own_slot<'a>(&self, slots: &'a mut Slots<K, V, E>) -> Option<&'a mut Slot<V, E>> {
        let own = |flight: &InFlight<V, E>| flight.outcome.same_channel(&self.flight.outcome);
        slots.by_key.get_mut(&self.key).filter(|slot| slot.flight.as_ref().is_some_and(own))
    }
}

impl<K, V, E> Cache<K, V, E> {
    /// The map. It is whole at every unlock, so a panic elsewhere does not spoil it.
    fn slots(&self) -> MutexGuard<'_, Slots<K, V, E>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Slot<V, E> {
    const fn empty() -> Self {
        Self { value: None, last_failure: None, flight: None, ignores_result: false, looked: 0 }
    }

    fn fail(&mut self, error: &Arc<E>, now: SystemTime) {
        let (since, failures) = match &self.last_failure {
            Some(last_failure) => (last_failure.since, last_failure.failures.saturating_add(1)),
            None => (now, 1),
        };
        self.last_failure = Some(LastFailure { error: Arc::clone(error), since, last: now, failures });
    }
}

impl<E: FailureTtl> LastFailure<E> {
    /// Whether another attempt makes no sense yet. A failure from the future, after the clock was set back, is none to
    /// wait for.
    #[must_use]
    pub fn is_within_ttl(&self, now: SystemTime) -> bool {
        let remembered = self.error.failure_ttl(self.failures);
        now.duration_since(self.last).is_ok_and(|age| age < remembered)
    }

    /// When another attempt makes sense; `None` where time does not help.
    #[must_use]
    pub fn retry_at(&self) -> Option<SystemTime> {
        self.last.checked_add(self.error.failure_ttl(self.failures))
    }
}

impl<K: Eq + Hash, V, E> Drop for LoadGuard<K, V, E> {
    fn drop(&mut self) {
        let mut slots = self.cache.slots();
        let Some(slot) = self.own_slot(&mut slots) else { return };
        slot.flight = None;
        slot.ignores_result = false;
        drop(slots);
        (self.cache.load_ended)(&self.key);
    }
}

impl<V, E> Clone for InFlight<V, E> {
    fn clone(&self) -> Self {
        Self { outcome: self.outcome.clone(), started_at: self.started_at }
    }
}

impl<E> Clone for LastFailure<E> {
    fn clone(&self) -> Self {
        let Self { since, last, failures, .. } = *self;
        Self { error: Arc::clone(&self.error), since, last, failures }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Lost => Self::Lost,
        }
    }
}

impl<V, E> fmt::Debug for InFlight<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("started_at", &self.started_at).finish_non_exhaustive()
    }
}
