//! Loads that fail, and failures that are cleared.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::simulation::{
    INSERTED, KEY, LoadEnd, Loaded, Model, check_all_schedules, check_random_schedules, spawn_task,
};

/// The number of failures in a row, and the number of the last load that failed.
type LastFailure = Option<(u32, usize)>;

/// Checks the state of the cache against the loads in the order of their numbers. Nothing was invalidated, so the loads ran
/// one after another.
async fn check(model: &Arc<Model>, ends: fn(usize) -> LoadEnd) {
    model.wait_for_loads().await;
    // The possible last failures. The cache ignores the failure of a load that was in flight when failures were cleared, and
    // the check cannot see whether it was; so both are possible.
    let (mut value, mut possible) = (INSERTED, BTreeSet::from([None]));
    for number in 0..model.load_count() {
        match ends(number) {
            LoadEnd::Success => (value, possible) = (number, BTreeSet::from([None])),
            LoadEnd::Failure if model.is_cleared(number) => possible = BTreeSet::from([None]),
            LoadEnd::Failure => {
                let worse =
                    |last_failure: &LastFailure| Some((last_failure.map_or(1, |(failures, _)| failures + 1), number));
                let counted: BTreeSet<LastFailure> = possible.iter().map(worse).collect();
                possible = if model.has_cleared_failures() {
                    &(&counted | &possible) | &BTreeSet::from([None])
                } else {
                    counted
                };
            }
            LoadEnd::Panic => {}
        }
    }
    let found = model.peek();
    assert_eq!(found.value.map(|value| value.0), Some(value));
    let last_failure = found.last_failure.map(|last_failure| (last_failure.failures, last_failure.error.0));
    assert!(possible.contains(&last_failure), "{last_failure:?} is none of {possible:?}");
    model.end().await;
}

/// Callers, one task that clears failures and inserts an old value, and one task that reads.
async fn last_failure(ends: fn(usize) -> LoadEnd) {
    let model = Model::new(ends).with_value();
    let mut tasks: Vec<_> = (0..2)
        .map(|_| {
            spawn_task(&model, async |model| {
                for _ in 0..3 {
                    drop(model.call().await);
                }
            })
        })
        .collect();
    tasks.push(spawn_task(&model, async |model| {
        for _ in 0..3 {
            model.clear_failures();
            model.cache.insert_if_absent(&KEY, Loaded(INSERTED));
        }
    }));
    tasks.push(spawn_task(&model, async |model| {
        let mut last = None;
        for _ in 0..4 {
            let value = model.peek().value.map(|value| value.0).expect("there was a value");
            assert!(
                last.is_none_or(|last| last == INSERTED || value != INSERTED && value >= last),
                "{value} after {last:?}"
            );
            last = Some(value);
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    check(&model, ends).await;
}

/// Two loads one after another, and a task that clears failures.
async fn clearing(ends: fn(usize) -> LoadEnd, clear: fn(&Model)) {
    let model = Model::small(ends).with_value();
    let other = spawn_task(&model, async move |model| clear(&model));
    drop(model.call().await);
    drop(model.call().await);
    other.await.unwrap();
    check(&model, ends).await;
}

const fn always_fails(_: usize) -> LoadEnd {
    LoadEnd::Failure
}

const fn in_turns(number: usize) -> LoadEnd {
    match number % 4 {
        0 | 1 => LoadEnd::Failure,
        2 => LoadEnd::Success,
        _ => LoadEnd::Panic,
    }
}

const fn fails_first(number: usize) -> LoadEnd {
    if number == 0 { LoadEnd::Failure } else { LoadEnd::Success }
}

#[test]
fn failure_never_replaces_a_value() {
    check_random_schedules(|| last_failure(always_fails));
}

#[test]
fn success_clears_the_last_failure() {
    check_random_schedules(|| last_failure(in_turns));
}

#[test]
fn clear_failures_is_safe_at_any_time() {
    check_all_schedules(|| clearing(fails_first, Model::clear_failures));
}

#[test]
fn clear_failures_of_other_keys_is_safe_at_any_time() {
    check_all_schedules(|| clearing(always_fails, Model::clear_failures_of_others));
}
