//! A cache with one in-flight load per key: all callers that want the same value share one call and its result, an error
//! included.
//!
//! A load is a task of its own, so it continues if the caller that started it is dropped. If a load panics, its waiters get
//! an error and the slot is free again. A failed load never replaces a value. The cache remembers the failure for a time
//! that the error chooses, so that many callers do not become many calls.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::sync_shim::{Mutex, MutexGuard, PoisonError, spawn};

/// The size limit of a cache, in slots. A new slot beyond it evicts the least recently used one (B17).
pub const MAX_SLOTS: usize = 4096;

/// The result of a load.
pub type Outcome<V, E> = Result<Arc<V>, LoadError<E>>;

/// The error of a load.
#[derive(Debug)]
pub enum LoadError<E> {
    /// The load returned this error.
    Failed(Arc<E>),
    /// The load ended without a result: it panicked, or the cache is closed.
    Lost,
}

/// An error that decides how long the cache remembers it.
pub trait FailureTtl {
    /// Returns how long after the last of `failures` failures in a row no new load is worth an attempt. For
    /// [`Duration::MAX`] that lasts until [`Cache::clear_failures`].
    fn failure_ttl(&self, failures: u32) -> Duration;
}

/// The last failure of a key since its last successful load.
#[derive(Debug)]
pub struct LastFailure<E> {
    /// The last error.
    pub error: Arc<E>,
    /// When the first failure in a row happened.
    pub since: SystemTime,
    /// When the last failure happened.
    pub last: SystemTime,
    /// The number of failures in a row.
    pub failures: u32,
}

/// The contents of a slot.
#[derive(Debug)]
pub struct CacheEntry<V, E> {
    /// The last value, of any age.
    pub value: Option<Arc<V>>,
    /// The last failure since that value.
    pub last_failure: Option<LastFailure<E>>,
}

/// The cached values and the in-flight loads, by key.
pub struct Cache<K, V, E> {
    slots: Mutex<Slots<K, V, E>>,
    clock: Clock,
    load_ended: Box<dyn Fn(&K) + Send + Sync>,
}

struct Slots<K, V, E> {
    by_key: HashMap<K, Slot<V, E>>,
    /// The number of accesses so far.
    accesses: u64,
    /// Whether the cache rejects values and loads.
    is_closed: bool,
}

struct Slot<V, E> {
    value: Option<Arc<V>>,
    last_failure: Option<LastFailure<E>>,
    load: Option<InFlight<V, E>>,
    /// Whether a failure of the load in flight is not to be remembered.
    ignores_failure: bool,
    /// The value of [`Slots::accesses`] at the last access: the smallest is the least recently used.
    last_access: u64,
}

/// A load that may still be running. Clones wait for the same result.
pub struct InFlight<V, E> {
    outcome: watch::Receiver<Option<Outcome<V, E>>>,
    started_at: Instant,
}

/// Removes the load from its slot when dropped: after the load has returned, panicked or been cancelled.
struct LoadGuard<K: Eq + Hash, V, E> {
    cache: Arc<Cache<K, V, E>>,
    key: K,
    load: InFlight<V, E>,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: FailureTtl + Send + Sync + 'static,
{
    /// Returns an empty cache. It calls `load_ended` with the key after each load whose slot still exists.
    #[must_use]
    pub fn new(clock: Clock, load_ended: impl Fn(&K) + Send + Sync + 'static) -> Arc<Self> {
        let slots = Mutex::new(Slots { by_key: HashMap::new(), accesses: 0, is_closed: false });
        Arc::new(Self { slots, clock, load_ended: Box::new(load_ended) })
    }

    /// Returns the last value and the last failure of a key. Counts as an access.
    pub fn peek(&self, key: &K) -> CacheEntry<V, E> {
        let mut slots = self.slots();
        slots.accesses += 1;
        let accesses = slots.accesses;
        match slots.by_key.get_mut(key) {
            Some(slot) => {
                slot.last_access = accesses;
                CacheEntry { value: slot.value.clone(), last_failure: slot.last_failure.clone() }
            }
            None => CacheEntry { value: None, last_failure: None },
        }
    }

    /// Returns whether a load for the key is in flight.
    pub fn is_loading(&self, key: &K) -> bool {
        self.slots().by_key.get(key).is_some_and(|slot| slot.load.is_some())
    }

    /// Returns the load in flight for `key`, or starts one with `load`. The load continues if every `InFlight` is dropped.
    /// While the cache is closed, nothing starts and the result is [`LoadError::Lost`].
    pub fn get_or_start<F>(self: &Arc<Self>, key: &K, load: impl FnOnce() -> F) -> InFlight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        self.start(key, |_| None, load)
    }

    /// As [`Cache::get_or_start`], for a caller who needs a load because of what `seen` says. If a load has ended since the
    /// caller looked, its result is returned: otherwise each caller who looked too early would start a load of its own.
    pub fn get_or_start_after<F>(
        self: &Arc<Self>,
        key: &K,
        seen: &CacheEntry<V, E>,
        load: impl FnOnce() -> F,
    ) -> InFlight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        self.start(key, |slot| slot.newer_than(seen), load)
    }

    fn start<F>(
        self: &Arc<Self>,
        key: &K,
        ended: impl FnOnce(&Slot<V, E>) -> Option<Outcome<V, E>>,
        load: impl FnOnce() -> F,
    ) -> InFlight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut slots = self.slots();
        let slot = slots.by_key.get(key);
        if let Some(in_flight) = slot.and_then(|slot| slot.load.as_ref()) {
            return in_flight.clone();
        }
        let (sender, outcome) = watch::channel(slot.and_then(ended));
        let in_flight = InFlight { outcome, started_at: Instant::now() };
        if slots.is_closed || sender.borrow().is_some() {
            return in_flight; // while the cache is closed the sender is dropped, so `wait` returns `Lost`
        }
        slots.get_or_insert(key).load = Some(in_flight.clone());
        drop(slots);
        let guard = LoadGuard { cache: Arc::clone(self), key: key.clone(), load: in_flight.clone() };
        let call = load();
        spawn(async move {
            let outcome = guard.store(call.await);
            // Before the waiters wake up, so that a caller that asks again starts a new load.
            drop(guard);
            sender.send_replace(Some(outcome));
        });
        in_flight
    }

    /// Stores a value that no load returned, unless the key has one or the cache is closed.
    pub fn insert_if_absent(&self, key: &K, value: V) {
        let mut slots = self.slots();
        if slots.is_closed {
            return;
        }
        let slot = slots.get_or_insert(key);
        if slot.value.is_none() {
            slot.value = Some(Arc::new(value));
        }
    }

    /// Returns every key that has a slot, with or without a value.
    pub fn keys(&self) -> Vec<K> {
        self.slots().by_key.keys().cloned().collect()
    }

    /// Returns every key that has a value, with the value.
    pub fn values(&self) -> Vec<(K, Arc<V>)> {
        let slots = self.slots();
        slots.by_key.iter().filter_map(|(key, slot)| Some((key.clone(), slot.value.clone()?))).collect()
    }

    /// Drops the values for which `matches` is true and returns their number. Loads in flight continue and store their
    /// results.
    pub fn invalidate(&self, matches: impl Fn(&K, &V) -> bool) -> usize {
        let mut slots = self.slots();
        let dropped = slots.by_key.iter_mut().filter_map(|(key, slot)| slot.value.take_if(|value| matches(key, value)));
        dropped.count()
    }

    /// Drops every slot for whose key `keep` is false. A load in flight for such a key continues, but its result is not
    /// stored.
    pub fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.slots().by_key.retain(|key, _| keep(key));
    }

    /// Drops every slot, as [`Cache::retain`] does, and rejects values and loads until [`Cache::open`].
    pub fn close(&self) {
        let mut slots = self.slots();
        slots.is_closed = true;
        slots.by_key = HashMap::new();
    }

    /// Accepts values and loads again after [`Cache::close`].
    pub fn open(&self) {
        self.slots().is_closed = false;
    }

    /// Drops the last failure of every key for which `matches` is true, if `is_obsolete` is true for its error. A load that
    /// is in flight for such a key started before the cause was removed, so the cache does not remember its failure either,
    /// whatever the error is.
    pub fn clear_failures(&self, matches: impl Fn(&K) -> bool, is_obsolete: impl Fn(&E) -> bool) {
        for (_, slot) in self.slots().by_key.iter_mut().filter(|(key, _)| matches(key)) {
            if slot.last_failure.as_ref().is_some_and(|last_failure| is_obsolete(&last_failure.error)) {
                slot.last_failure = None;
            }
            slot.ignores_failure = slot.load.is_some();
        }
    }
}

impl<K: Eq + Hash + Clone, V, E> Slots<K, V, E> {
    /// Returns the slot of a key; creates it if it does not exist. Counts as an access.
    fn get_or_insert(&mut self, key: &K) -> &mut Slot<V, E> {
        if !self.by_key.contains_key(key) && self.by_key.len() >= MAX_SLOTS {
            self.evict();
        }
        self.accesses += 1;
        let slot = self.by_key.entry(key.clone()).or_insert_with(Slot::empty);
        slot.last_access = self.accesses;
        slot
    }

    /// Drops the least recently used slot without a load in flight.
    fn evict(&mut self) {
        let idle = self.by_key.iter().filter(|(_, slot)| slot.load.is_none());
        if let Some(key) = idle.min_by_key(|(_, slot)| slot.last_access).map(|(key, _)| key.clone()) {
            self.by_key.remove(&key);
        }
    }
}

impl<V: Send + Sync, E: Send + Sync> InFlight<V, E> {
    /// Waits for the result of the load.
    pub async fn wait(mut self) -> Outcome<V, E> {
        let outcome = self.outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(LoadError::Lost))
    }

    /// Returns when the load started.
    pub const fn started_at(&self) -> Instant {
        self.started_at
    }
}

impl<K: Eq + Hash, V, E> LoadGuard<K, V, E> {
    /// Stores the result in the slot of this load, if the slot still exists and belongs to this load.
    fn store(&self, result: Result<V, E>) -> Outcome<V, E> {
        let outcome = result.map(Arc::new).map_err(Arc::new);
        let now = self.cache.clock.now();
        if let Some(slot) = self.own_slot(&mut self.cache.slots()) {
            match &outcome {
                Ok(value) => {
                    slot.value = Some(Arc::clone(value));
                    slot.last_failure = None;
                }
                Err(_) if slot.ignores_failure => {}
                Err(error) => slot.fail(error, now),
            }
        }
        outcome.map_err(LoadError::Failed)
    }

    fn own_slot<'a>(&self, slots: &'a mut Slots<K, V, E>) -> Option<&'a mut Slot<V, E>> {
        let is_own = |load: &InFlight<V, E>| load.outcome.same_channel(&self.load.outcome);
        slots.by_key.get_mut(&self.key).filter(|slot| slot.load.as_ref().is_some_and(is_own))
    }
}

impl<K, V, E> Cache<K, V, E> {
    /// Locks the map. Each change of it is complete before the lock is released, so a poisoned lock is usable.
    fn slots(&self) -> MutexGuard<'_, Slots<K, V, E>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Slot<V, E> {
    const fn empty() -> Self {
        Self { value: None, last_failure: None, load: None, ignores_failure: false, last_access: 0 }
    }

    /// Returns the result of a load that ended after the slot was read as `seen`.
    fn newer_than(&self, seen: &CacheEntry<V, E>) -> Option<Outcome<V, E>> {
        if let Some(last_failure) = &self.last_failure {
            let is_seen = seen.last_failure.as_ref().is_some_and(|seen| Arc::ptr_eq(&seen.error, &last_failure.error));
            return (!is_seen).then(|| Err(LoadError::Failed(Arc::clone(&last_failure.error))));
        }
        let value = self.value.as_ref()?;
        let is_seen = seen.value.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, value));
        (!is_seen).then(|| Ok(Arc::clone(value)))
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
    /// Returns whether a new load is not worth an attempt yet. A failure in the future, after the clock was set back, does
    /// not count.
    #[must_use]
    pub fn is_within_ttl(&self, now: SystemTime) -> bool {
        let ttl = self.error.failure_ttl(self.failures);
        now.duration_since(self.last).is_ok_and(|age| age < ttl)
    }

    /// Returns when a new load is worth an attempt; `None` if that does not depend on time.
    #[must_use]
    pub fn retry_at(&self) -> Option<SystemTime> {
        self.last.checked_add(self.error.failure_ttl(self.failures))
    }
}

impl<K: Eq + Hash, V, E> Drop for LoadGuard<K, V, E> {
    fn drop(&mut self) {
        let mut slots = self.cache.slots();
        let Some(slot) = self.own_slot(&mut slots) else { return };
        slot.load = None;
        slot.ignores_failure = false;
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
