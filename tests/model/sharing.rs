//! Many callers of one load.

use std::sync::Arc;

use crate::simulation::{LoadEnd, Loaded, Model, check_all_schedules, check_random_schedules, number, spawn_task};
use crate::single_flight::{LoadError, Outcome};

/// Callers that arrive while a load is in flight. Each calls again as soon as it has the result.
async fn callers(count: u32, ends: fn(usize) -> LoadEnd) {
    let model = Model::new(ends);
    let callers: Vec<_> = (0..count)
        .map(|_| {
            spawn_task(&model, async move |model| {
                let outcome = model.call_gated(count).await;
                assert!(number(&model.call().await).is_some(), "joined the load that panicked");
                outcome
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.unwrap());
    }
    assert!(outcomes.windows(2).all(|two| is_same(&two[0], &two[1])), "{outcomes:?}");
    model.end().await;
}

fn is_same(one: &Outcome<Loaded, Loaded>, other: &Outcome<Loaded, Loaded>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) | (Err(LoadError::Failed(one)), Err(LoadError::Failed(other))) => Arc::ptr_eq(one, other),
        (Err(LoadError::Lost), Err(LoadError::Lost)) => true,
        _ => false,
    }
}

/// Two callers that arrive at any time.
async fn two_callers(ends: fn(usize) -> LoadEnd) {
    let model = Model::small(ends);
    let other = spawn_task(&model, async |model| drop(model.call().await));
    drop(model.call().await);
    other.await.unwrap();
    model.end().await;
}

/// Two callers that look into the cache at any time, and need a load only if it has no result.
async fn two_callers_who_look_first(ends: fn(usize) -> LoadEnd) {
    let model = Model::small(ends);
    let other = spawn_task(&model, async |model| model.call_if_absent().await);
    model.call_if_absent().await;
    other.await.unwrap();
    model.wait_for_loads().await;
    assert_eq!(model.load_count(), 1, "a caller started a load after another had ended");
}

const fn panics_first(number: usize) -> LoadEnd {
    if number == 0 { LoadEnd::Panic } else { LoadEnd::Success }
}

/// Fault matrix row 72.
#[test]
fn callers_share_one_in_flight_load() {
    check_random_schedules(|| callers(5, |_| LoadEnd::Success));
}

#[test]
fn callers_share_one_error() {
    check_random_schedules(|| callers(5, |_| LoadEnd::Failure));
}

/// Fault matrix row 21.
#[test]
fn callers_of_a_panicking_load_get_an_error() {
    check_random_schedules(|| callers(5, panics_first));
}

#[test]
fn two_callers_in_any_order_share_one_load() {
    check_all_schedules(|| two_callers(|_| LoadEnd::Success));
}

#[test]
fn callers_who_look_first_share_one_load() {
    check_all_schedules(|| two_callers_who_look_first(|_| LoadEnd::Success));
    check_all_schedules(|| two_callers_who_look_first(|_| LoadEnd::Failure));
}
