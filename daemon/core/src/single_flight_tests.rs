//! The rules of the cache, one at a time. `tests/model` checks them in all orders of events. This is a file of its own
//! because the model check compiles `single_flight.rs` with another mutex, with which these tests cannot run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::clock::{Clock, ClockSource};
use crate::single_flight::{Cache, FailureTtl, InFlight, LoadError, MAX_SLOTS};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const SECOND: Duration = Duration::from_secs(1);
type Numbers = Cache<&'static str, u32, &'static str>;

impl FailureTtl for &'static str {
    fn failure_ttl(&self, failures: u32) -> Duration {
        if *self == "permanent" { Duration::MAX } else { SECOND * failures }
    }
}

/// A clock that always shows [`NOW`].
#[derive(Debug)]
struct Stopped;

impl ClockSource for Stopped {
    fn wall(&self) -> SystemTime {
        NOW
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn awake(&self) -> Duration {
        Duration::ZERO
    }
}

fn numbers() -> Arc<Numbers> {
    Numbers::new(Clock::new(Stopped), |_| {})
}

async fn result(load: InFlight<u32, &'static str>) -> Result<u32, &'static str> {
    match load.wait().await {
        Ok(value) => Ok(*value),
        Err(LoadError::Failed(error)) => Err(*error),
        Err(LoadError::Lost) => Err("lost"),
    }
}

/// Starts a load that ends when the gate is opened.
fn gated(cache: &Arc<Numbers>, value: u32) -> (oneshot::Sender<()>, InFlight<u32, &'static str>) {
    let (open, gate) = oneshot::channel::<()>();
    let load = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Ok(value)
    });
    (open, load)
}

/// Fault matrix row 72.
#[tokio::test]
async fn concurrent_callers_share_one_load() {
    let cache = numbers();
    let loads = Arc::new(AtomicUsize::new(0));
    let (open, gate) = oneshot::channel::<()>();
    let mut gate = Some(gate);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (gate, loads) = (gate.take(), Arc::clone(&loads));
            cache.get_or_start(&"prod", || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                gate.unwrap().await.unwrap();
                Ok(7)
            })
        })
        .collect();
    open.send(()).unwrap();
    for caller in callers {
        assert_eq!(result(caller).await, Ok(7));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

/// Fault matrix row 74.
#[tokio::test]
async fn load_survives_dropped_caller() {
    let cache = numbers();
    let (open, leader) = gated(&cache, 7);
    drop(leader);
    let waiter = cache.get_or_start(&"prod", || async { panic!("a second load") });
    open.send(()).unwrap();
    assert_eq!(result(waiter).await, Ok(7));
}

/// Fault matrix row 21.
#[tokio::test]
async fn load_panicked_waiters_fail_and_slot_is_free() {
    let cache = numbers();
    assert_eq!(result(cache.get_or_start(&"prod", || async { panic!("expected by the test") })).await, Err("lost"));
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
}

#[tokio::test]
async fn failure_keeps_value_and_ttl_grows() {
    let cache = numbers();
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    for failures in 1..3 {
        assert_eq!(result(cache.get_or_start(&"prod", || async { Err("down") })).await, Err("down"));
        let found = cache.peek(&"prod");
        assert_eq!(found.value.as_deref(), Some(&7));
        let last_failure = found.last_failure.unwrap();
        assert_eq!((last_failure.failures, last_failure.retry_at()), (failures, Some(NOW + SECOND * failures)));
        assert!(last_failure.is_within_ttl(NOW + SECOND * failures - SECOND / 2));
        assert!(!last_failure.is_within_ttl(NOW + SECOND * failures));
    }
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(8) })).await, Ok(8));
    assert!(cache.peek(&"prod").last_failure.is_none());
}

#[tokio::test]
async fn permanent_failure_lasts_until_cleared() {
    let cache = numbers();
    assert_eq!(result(cache.get_or_start(&"prod", || async { Err("permanent") })).await, Err("permanent"));
    let last_failure = cache.peek(&"prod").last_failure.unwrap();
    assert!(last_failure.is_within_ttl(NOW + Duration::from_hours(9999)));
    assert_eq!(last_failure.retry_at(), None);
    cache.clear_failures(|key| *key == "prod", |error| *error == "down");
    assert!(cache.peek(&"prod").last_failure.is_some());
    cache.clear_failures(|key| *key == "audit", |_| true);
    assert!(cache.peek(&"prod").last_failure.is_some());
    cache.clear_failures(|_| true, |error| *error == "permanent");
    assert!(cache.peek(&"prod").last_failure.is_none());
}

#[tokio::test]
async fn inserted_value_replaces_none() {
    let cache = numbers();
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    assert_eq!(result(cache.get_or_start(&"audit", || async { Err("down") })).await, Err("down"));
    cache.insert_if_absent(&"prod", 1);
    cache.insert_if_absent(&"staging", 2);
    let mut all: Vec<_> = cache.values().into_iter().map(|(key, value)| (key, *value)).collect();
    all.sort_unstable();
    assert_eq!(all, [("prod", 7), ("staging", 2)]);
}

#[tokio::test]
async fn load_of_dropped_slot_is_not_stored() {
    let cache = numbers();
    let (open, load) = gated(&cache, 7);
    cache.retain(|_| false);
    open.send(()).unwrap();
    assert_eq!(result(load).await, Ok(7));
    assert!(cache.peek(&"prod").value.is_none());
}

#[tokio::test]
async fn load_of_dropped_slot_leaves_new_slot_alone() {
    let cache = numbers();
    let (open_old, old) = gated(&cache, 1);
    cache.retain(|_| false);
    let (open_new, new) = gated(&cache, 2);
    open_old.send(()).unwrap();
    assert_eq!(result(old).await, Ok(1));
    assert!(cache.peek(&"prod").value.is_none());
    let joined = cache.get_or_start(&"prod", || async { panic!("a third load") });
    open_new.send(()).unwrap();
    assert_eq!(result(new).await, Ok(2));
    assert_eq!(result(joined).await, Ok(2));
    assert_eq!(cache.peek(&"prod").value.as_deref(), Some(&2));
}

/// Fault matrix row 76.
#[tokio::test]
async fn failure_in_future_does_not_count() {
    let cache = numbers();
    assert_eq!(result(cache.get_or_start(&"prod", || async { Err("clock") })).await, Err("clock"));
    let last_failure = cache.peek(&"prod").last_failure.unwrap();
    assert!(last_failure.is_within_ttl(NOW));
    assert!(!last_failure.is_within_ttl(NOW - Duration::from_hours(2)));
}

#[tokio::test]
async fn full_cache_evicts_least_recently_used() {
    let cache: Arc<Cache<usize, usize, &'static str>> = Cache::new(Clock::new(Stopped), |_| {});
    for key in 0..MAX_SLOTS {
        cache.insert_if_absent(&key, key);
    }
    cache.peek(&0);
    let (_open, gate) = oneshot::channel::<()>();
    let _load = cache.get_or_start(&1, || async move {
        drop(gate.await);
        Err("never")
    });
    cache.insert_if_absent(&MAX_SLOTS, 0);
    cache.insert_if_absent(&(MAX_SLOTS + 1), 0);
    assert_eq!(cache.values().len(), MAX_SLOTS);
    let has_value = |key: usize| cache.peek(&key).value.is_some();
    assert!(has_value(0) && has_value(1) && !has_value(2) && !has_value(3) && has_value(4));
}

#[tokio::test]
async fn load_ended_is_called_after_each_load() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let cache: Arc<Numbers> = Cache::new(Clock::new(Stopped), move |key| {
        assert_eq!(*key, "prod");
        counter.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    assert_eq!(result(cache.get_or_start(&"prod", || async { Err("down") })).await, Err("down"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn load_failing_after_clear_is_not_remembered() {
    let cache = numbers();
    let (open, gate) = oneshot::channel::<()>();
    let load = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Err("before login")
    });
    cache.clear_failures(|key| *key == "prod", |_| true);
    cache.clear_failures(|key| *key == "audit", |_| true);
    open.send(()).unwrap();
    assert_eq!(result(load).await, Err("before login"));
    assert!(cache.peek(&"prod").last_failure.is_none());
    assert_eq!(result(cache.get_or_start(&"prod", || async { Err("after login") })).await, Err("after login"));
    assert!(cache.peek(&"prod").last_failure.is_some());
}

#[tokio::test]
async fn load_failing_after_clear_of_other_key_remembered() {
    let cache = numbers();
    let (open, gate) = oneshot::channel::<()>();
    let load = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Err("down")
    });
    cache.clear_failures(|key| *key == "audit", |_| true);
    open.send(()).unwrap();
    assert_eq!(result(load).await, Err("down"));
    assert!(cache.peek(&"prod").last_failure.is_some());
}

#[tokio::test]
async fn closed_cache_is_empty_and_rejects_loads() {
    let cache = numbers();
    cache.insert_if_absent(&"kept", 1);
    let (open, load) = gated(&cache, 2);
    cache.close();
    assert!(cache.values().is_empty());
    let (late, rejected) = gated(&cache, 3);
    assert_eq!(result(rejected).await, Err("lost"));
    assert!(late.is_closed(), "the load was not started");
    cache.insert_if_absent(&"kept", 4);
    open.send(()).unwrap();
    assert_eq!(result(load).await, Ok(2));
    assert!(cache.values().is_empty(), "the result is not stored");
    cache.open();
    assert!(cache.values().is_empty());
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(5) })).await, Ok(5));
    assert_eq!(cache.values().len(), 1);
}

#[tokio::test]
async fn caller_who_looked_before_a_load_ended_gets_its_result() {
    let cache = numbers();
    let before = cache.peek(&"prod");
    assert_eq!(result(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    let late = cache.get_or_start_after(&"prod", &before, || async { panic!("a second load") });
    assert_eq!(result(late).await, Ok(7));
    let seen = cache.peek(&"prod");
    let failing = cache.get_or_start_after(&"prod", &seen, || async { Err("down") });
    assert_eq!(result(failing).await, Err("down"), "the value was seen");
    let late = cache.get_or_start_after(&"prod", &seen, || async { panic!("another load") });
    assert_eq!(result(late).await, Err("down"));
    let seen = cache.peek(&"prod");
    assert_eq!(result(cache.get_or_start_after(&"prod", &seen, || async { Ok(8) })).await, Ok(8));
}
