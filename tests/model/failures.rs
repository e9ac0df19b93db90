//! Loads that fail, and failures that are forgiven.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::rig::{End, Flown, KEY, PUT, World, all, beside, some};

/// Failures in a row, and the last of them.
type LastFailure = Option<(u32, usize)>;

/// Whatever happened, it is as if it had happened in the order of the flights' numbers: nothing was forgotten, so that they
/// flew one after the other.
async fn check(world: &Arc<World>, ends: fn(usize) -> End) {
    world.settle().await;
    // What the last failure may be: a failure that was forgiven while it was in flight, which nobody outside can see, is none.
    let (mut value, mut possible) = (PUT, BTreeSet::from([None]));
    for number in 0..world.flights() {
        match ends(number) {
            End::Good => (value, possible) = (number, BTreeSet::from([None])),
            End::Bad if world.ignores_result(number) => possible = BTreeSet::from([None]),
            End::Bad => {
                let worse =
                    |last_failure: &LastFailure| Some((last_failure.map_or(1, |(failures, _)| failures + 1), number));
                let remembered: BTreeSet<LastFailure> = possible.iter().map(worse).collect();
                possible = if world.is_forgiving() {
                    &(&remembered | &possible) | &BTreeSet::from([None])
                } else {
                    remembered
                };
            }
            End::Panic => {}
        }
    }
    let found = world.peek();
    assert_eq!(found.value.map(|value| value.0), Some(value));
    let last_failure = found.last_failure.map(|last_failure| (last_failure.failures, last_failure.error.0));
    assert!(possible.contains(&last_failure), "{last_failure:?} is none of {possible:?}");
    world.end().await;
}

/// Callers, somebody who forgives and brings an old value again, and somebody who looks.
async fn last_failure(ends: fn(usize) -> End) {
    let world = World::new(ends).with_value();
    let mut tasks: Vec<_> = (0..2)
        .map(|_| {
            beside(&world, async |world| {
                for _ in 0..3 {
                    drop(world.call().await);
                }
            })
        })
        .collect();
    tasks.push(beside(&world, async |world| {
        for _ in 0..3 {
            world.clear_failures();
            world.cache.insert_if_absent(&KEY, Flown(PUT));
        }
    }));
    tasks.push(beside(&world, async |world| {
        let mut last = None;
        for _ in 0..4 {
            let value = world.peek().value.map(|value| value.0).expect("there was a value");
            assert!(last.is_none_or(|last| last == PUT || value != PUT && value >= last), "{value} after {last:?}");
            last = Some(value);
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    check(&world, ends).await;
}

/// One flight, and one forgiving.
async fn pardon(ends: fn(usize) -> End, forgive: fn(&World)) {
    let world = World::small(ends).with_value();
    let other = beside(&world, async move |world| forgive(&world));
    drop(world.call().await);
    drop(world.call().await);
    other.await.unwrap();
    check(&world, ends).await;
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
fn a_failure_never_replaces_a_value() {
    some(|| last_failure(always));
}

#[test]
fn a_success_clears_the_trouble() {
    some(|| last_failure(now_and_then));
}

#[test]
fn a_pardon_at_any_moment() {
    all(|| pardon(at_first, World::clear_failures));
}

#[test]
fn a_pardon_of_others_at_any_moment() {
    all(|| pardon(always, World::forgive_others));
}
