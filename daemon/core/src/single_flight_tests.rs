//! What the cache promises, one thing at a time; `tests/model` asks it whatever order things happen in. They stand beside
//! `cache.rs`, not in it, since the model check compiles that file too, with a mutex that works nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::StaticTimeSource;
use tokio::sync::oneshot;

use crate::clock::SharedTimeSource;
use crate::single_flight::{Cache, FailureTtl, InFlight, LoadError, MAX_SLOTS};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const SECOND: Duration = Duration::from_secs(1);
type Numbers = Cache<&'static str, u32, &'static str>;

impl FailureTtl for &'static str {
    fn failure_ttl(&self, failures: u32) -> Duration {
        if *self == "for good" { Duration::MAX } else { SECOND * failures }
    }
}

fn numbers() -> Arc<Numbers> {
    Numbers::new(SharedTimeSource::new(StaticTimeSource::new(NOW)), |_| {})
}

async fn known(flight: InFlight<u32, &'static str>) -> Result<u32, &'static str> {
    match flight.wait().await {
        Ok(value) => Ok(*value),
        Err(LoadError::Failed(error)) => Err(*error),
        Err(LoadError::Lost) => Err("lost"),
    }
}

/// A flight that ends when the gate is opened.
fn gated(cache: &Arc<Numbers>, value: u32) -> (oneshot::Sender<()>, InFlight<u32, &'static str>) {
    let (open, gate) = oneshot::channel::<()>();
    let flight = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Ok(value)
    });
    (open, flight)
}

#[tokio::test]
async fn row_72_a_thousand_callers_are_one_flight() {
    let cache = numbers();
    let flights = Arc::new(AtomicUsize::new(0));
    let (open, gate) = oneshot::channel::<()>();
    let mut gate = Some(gate);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (gate, flights) = (gate.take(), Arc::clone(&flights));
            cache.get_or_start(&"prod", || async move {
                flights.fetch_add(1, Ordering::SeqCst);
                gate.unwrap().await.unwrap();
                Ok(7)
            })
        })
        .collect();
    open.send(()).unwrap();
    for caller in callers {
        assert_eq!(known(caller).await, Ok(7));
    }
    assert_eq!(flights.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn row_74_the_flight_survives_the_caller_that_began_it() {
    let cache = numbers();
    let (open, leader) = gated(&cache, 7);
    drop(leader);
    let waiter = cache.get_or_start(&"prod", || async { panic!("a second flight") });
    open.send(()).unwrap();
    assert_eq!(known(waiter).await, Ok(7));
}

#[tokio::test]
async fn row_21_a_panic_fails_the_waiters_and_clears_the_slot() {
    let cache = numbers();
    assert_eq!(known(cache.get_or_start(&"prod", || async { panic!("as the test wants") })).await, Err("lost"));
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
}

#[tokio::test]
async fn a_failure_keeps_the_value_and_is_remembered_for_longer_each_time() {
    let cache = numbers();
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    for failures in 1..3 {
        assert_eq!(known(cache.get_or_start(&"prod", || async { Err("down") })).await, Err("down"));
        let found = cache.peek(&"prod");
        assert_eq!(found.value.as_deref(), Some(&7));
        let last_failure = found.last_failure.unwrap();
        assert_eq!((last_failure.failures, last_failure.retry_at()), (failures, Some(NOW + SECOND * failures)));
        assert!(last_failure.is_within_ttl(NOW + SECOND * failures - SECOND / 2));
        assert!(!last_failure.is_within_ttl(NOW + SECOND * failures));
    }
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(8) })).await, Ok(8));
    assert!(cache.peek(&"prod").last_failure.is_none());
}

#[tokio::test]
async fn what_lasts_until_it_is_forgotten_lasts_until_then() {
    let cache = numbers();
    assert_eq!(known(cache.get_or_start(&"prod", || async { Err("for good") })).await, Err("for good"));
    let last_failure = cache.peek(&"prod").last_failure.unwrap();
    assert!(last_failure.is_within_ttl(NOW + Duration::from_hours(9999)));
    assert_eq!(last_failure.retry_at(), None);
    cache.clear_failures(|key| *key == "prod", |error| *error == "down");
    assert!(cache.peek(&"prod").last_failure.is_some());
    cache.clear_failures(|key| *key == "audit", |_| true);
    assert!(cache.peek(&"prod").last_failure.is_some());
    cache.clear_failures(|_| true, |error| *error == "for good");
    assert!(cache.peek(&"prod").last_failure.is_none());
}

#[tokio::test]
async fn a_value_that_is_put_in_does_not_replace_one() {
    let cache = numbers();
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    assert_eq!(known(cache.get_or_start(&"audit", || async { Err("down") })).await, Err("down"));
    cache.insert_if_absent(&"prod", 1);
    cache.insert_if_absent(&"staging", 2);
    let mut all: Vec<_> = cache.values().into_iter().map(|(key, value)| (key, *value)).collect();
    all.sort_unstable();
    assert_eq!(all, [("prod", 7), ("staging", 2)]);
}

#[tokio::test]
async fn what_was_forgotten_in_flight_is_not_kept() {
    let cache = numbers();
    let (open, flight) = gated(&cache, 7);
    cache.retain(|_| false);
    open.send(()).unwrap();
    assert_eq!(known(flight).await, Ok(7));
    assert!(cache.peek(&"prod").value.is_none());
}

#[tokio::test]
async fn a_flight_that_was_forgotten_does_not_land_in_the_slot_of_another() {
    let cache = numbers();
    let (open_old, old) = gated(&cache, 1);
    cache.retain(|_| false);
    let (open_new, new) = gated(&cache, 2);
    open_old.send(()).unwrap();
    assert_eq!(known(old).await, Ok(1));
    assert!(cache.peek(&"prod").value.is_none());
    let joined = cache.get_or_start(&"prod", || async { panic!("a third flight") });
    open_new.send(()).unwrap();
    assert_eq!(known(new).await, Ok(2));
    assert_eq!(known(joined).await, Ok(2));
    assert_eq!(cache.peek(&"prod").value.as_deref(), Some(&2));
}

#[tokio::test]
async fn row_76_a_failure_from_the_future_is_forgotten() {
    let cache = numbers();
    assert_eq!(known(cache.get_or_start(&"prod", || async { Err("clock") })).await, Err("clock"));
    let last_failure = cache.peek(&"prod").last_failure.unwrap();
    assert!(last_failure.is_within_ttl(NOW));
    assert!(!last_failure.is_within_ttl(NOW - Duration::from_hours(2)));
}

#[tokio::test]
async fn whoever_was_not_looked_at_for_longest_makes_room() {
    let cache: Arc<Cache<usize, usize, &'static str>> =
        Cache::new(SharedTimeSource::new(StaticTimeSource::new(NOW)), |_| {});
    for key in 0..MAX_SLOTS {
        cache.insert_if_absent(&key, key);
    }
    cache.peek(&0);
    let (_open, gate) = oneshot::channel::<()>();
    let _flight = cache.get_or_start(&1, || async move {
        drop(gate.await);
        Err("never")
    });
    cache.insert_if_absent(&MAX_SLOTS, 0);
    cache.insert_if_absent(&(MAX_SLOTS + 1), 0);
    assert_eq!(cache.values().len(), MAX_SLOTS);
    let is_there = |key: usize| cache.peek(&key).value.is_some();
    assert!(is_there(0) && is_there(1) && !is_there(2) && !is_there(3) && is_there(4));
}

#[tokio::test]
async fn everybody_hears_of_a_landing() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let cache: Arc<Numbers> = Cache::new(SharedTimeSource::new(StaticTimeSource::new(NOW)), move |key| {
        assert_eq!(*key, "prod");
        counter.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(7) })).await, Ok(7));
    assert_eq!(known(cache.get_or_start(&"prod", || async { Err("down") })).await, Err("down"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_fails_in_flight_after_it_was_forgiven_is_told_and_not_remembered() {
    let cache = numbers();
    let (open, gate) = oneshot::channel::<()>();
    let flight = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Err("before the login")
    });
    cache.clear_failures(|key| *key == "prod", |_| true);
    cache.clear_failures(|key| *key == "audit", |_| true);
    open.send(()).unwrap();
    assert_eq!(known(flight).await, Err("before the login"));
    assert!(cache.peek(&"prod").last_failure.is_none());
    assert_eq!(known(cache.get_or_start(&"prod", || async { Err("after it") })).await, Err("after it"));
    assert!(cache.peek(&"prod").last_failure.is_some());
}

#[tokio::test]
async fn what_fails_in_flight_is_remembered_where_another_key_was_forgiven() {
    let cache = numbers();
    let (open, gate) = oneshot::channel::<()>();
    let flight = cache.get_or_start(&"prod", || async move {
        gate.await.unwrap();
        Err("down")
    });
    cache.clear_failures(|key| *key == "audit", |_| true);
    open.send(()).unwrap();
    assert_eq!(known(flight).await, Err("down"));
    assert!(cache.peek(&"prod").last_failure.is_some());
}

#[tokio::test]
async fn what_is_closed_forgets_everything_and_takes_nothing_in() {
    let cache = numbers();
    cache.insert_if_absent(&"kept", 1);
    let (open, flight) = gated(&cache, 2);
    cache.close();
    assert!(cache.values().is_empty());
    let (late, begun) = gated(&cache, 3);
    assert_eq!(known(begun).await, Err("lost"));
    assert!(late.is_closed(), "it was not even begun");
    cache.insert_if_absent(&"kept", 4);
    open.send(()).unwrap();
    assert_eq!(known(flight).await, Ok(2));
    assert!(cache.values().is_empty(), "it has landed nowhere");
    cache.open();
    assert!(cache.values().is_empty());
    assert_eq!(known(cache.get_or_start(&"prod", || async { Ok(5) })).await, Ok(5));
    assert_eq!(cache.values().len(), 1);
}
