//! Many callers, one flight.

use std::sync::Arc;

use crate::rig::{End, Flown, World, all, beside, number, some};
use crate::single_flight::{LoadError, Outcome};

/// Callers who come while a flight is under way; each asks once more as soon as it has heard.
async fn callers(count: u32, ends: fn(usize) -> End) {
    let world = World::new(ends);
    let callers: Vec<_> = (0..count)
        .map(|_| {
            beside(&world, async move |world| {
                let heard = world.call_behind(count).await;
                assert!(number(&world.call().await).is_some(), "joined the flight that panicked");
                heard
            })
        })
        .collect();
    let mut heard = Vec::new();
    for caller in callers {
        heard.push(caller.await.unwrap());
    }
    assert!(heard.windows(2).all(|two| is_same(&two[0], &two[1])), "{heard:?}");
    world.end().await;
}

fn is_same(one: &Outcome<Flown, Flown>, other: &Outcome<Flown, Flown>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) | (Err(LoadError::Failed(one)), Err(LoadError::Failed(other))) => Arc::ptr_eq(one, other),
        (Err(LoadError::Lost), Err(LoadError::Lost)) => true,
        _ => false,
    }
}

/// Two callers who come when they like.
async fn two_callers(ends: fn(usize) -> End) {
    let world = World::small(ends);
    let other = beside(&world, async |world| drop(world.call().await));
    drop(world.call().await);
    other.await.unwrap();
    world.end().await;
}

const fn panic_at_first(number: usize) -> End {
    if number == 0 { End::Panic } else { End::Good }
}

#[test]
fn row_72_all_callers_share_one_flight() {
    some(|| callers(5, |_| End::Good));
}

#[test]
fn all_callers_share_one_error() {
    some(|| callers(5, |_| End::Bad));
}

#[test]
fn row_21_all_callers_of_a_flight_that_panics_are_told() {
    some(|| callers(5, panic_at_first));
}

#[test]
fn two_callers_in_any_order() {
    all(|| two_callers(|_| End::Good));
}
