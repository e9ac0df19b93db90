//! Loads that fail, and failures that are forgiven.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::simulation::{End, Flown, KEY, Model, PUT, all, beside, some};

/// Failures in a row, and the last of them.
type LastFailure = Option<(u32, usize)>;

/// Whatever happened, it is as if it had happened in the order of the flights' numbers: nothing was forgotten, so that they
/// flew one after the other.
async fn check(model: &Arc<Model>, ends: fn(usize) -> End) {
    model.settle().await;
    // What the last failure may be: a failure that was forgiven while it was in flight, which nobody outside can see, is none.
    let (mut value, mut possible) = (PUT, BTreeSet::from([None]));
    for number in 0..model.flights() {
        match ends(number) {
            End::Good => (value, possible) = (number, BTreeSet::from([None])),
            End::Bad if model.ignores_result(number) => possible = BTreeSet::from([None]),
            End::Bad => {
                let worse =
                    |last_failure: &LastFailure| Some((last_failure.map_or(1, |(failures, _)| failures + 1), number));
                let remembered: BTreeSet<LastFailure> = possible.iter().map(worse).collect();
                possible = if model.is_forgiving() {
                    &(&remembered | &possible) | &BTreeSet::from([None])
                } else {
                    remembered
                };
            }
            End::Panic => {}
        }
    }
    let found = model.peek();
    assert_eq!(found.value.map(|value| value.0), Some(value));
    let last_failure = found.last_failure.map(|last_failure| (last_failure.failures, last_failure.error.0));
    assert!(possible.contains(&last_failure), "{last_failure:?} is none of {possible:?}");
    model.end().await;
}

/// Callers, one task that clears failures and inserts an old value, and one task that reads.
async fn last_failure(ends: fn(usize) -> End) {
    let model = Model::new(ends).with_value();
    let mut tasks: Vec<_> = (0..2)
        .map(|_| {
            beside(&model, async |model| {
                for _ in 0..3 {
                    drop(model.call().await);
                }
            })
        })
        .collect();
    tasks.push(beside(&model, async |model| {
        for _ in 0..3 {
            model.clear_failures();
            model.cache.insert_if_absent(&KEY, Flown(PUT));
        }
    }));
    tasks.push(beside(&model, async |model| {
        let mut last = None;
        for _ in 0..4 {
            let value = model.peek().value.map(|value| value.0).expect("there was a value");
            assert!(last.is_none_or(|last| last == PUT || value != PUT && value >= last), "{value} after {last:?}");
            last = Some(value);
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    check(&model, ends).await;
}

/// One flight, and one forgiving.
async fn pardon(ends: fn(usize) -> End, forgive: fn(&Model)) {
    let model = Model::small(ends).with_value();
    let other = beside(&model, async move |model| forgive(&model));
    drop(model.call().await);
    drop(model.call().await);
    other.await.unwrap();
    check(&model, ends).await;
}

const fn always(_: usize) -> End {
    End::Bad
}

const fn now_and_then(number: usize) -> End {
    match number % 4 {
        0 | 1 => End::Bad,
        2 => End::Good,
        _ => End::Panic,
    }
}

const fn at_first(number: usize) -> End {
    if number == 0 { End::Bad } else { End::Good }
}

#[test]
fn failure_never_replaces_a_value() {
    some(|| last_failure(always));
}

#[test]
fn success_clears_the_last_failure() {
    some(|| last_failure(now_and_then));
}

#[test]
fn clear_failures_is_safe_at_any_time() {
    all(|| pardon(at_first, Model::clear_failures));
}

#[test]
fn clear_failures_of_other_keys_is_safe_at_any_time() {
    all(|| pardon(always, Model::forgive_others));
}
