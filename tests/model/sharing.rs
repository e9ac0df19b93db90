//! Many callers, one flight.

use std::sync::Arc;

use crate::simulation::{End, Flown, Model, all, beside, number, some};
use crate::single_flight::{LoadError, Outcome};

/// Callers who come while a flight is under way; each asks once more as soon as it has heard.
async fn callers(count: u32, ends: fn(usize) -> End) {
    let model = Model::new(ends);
    let callers: Vec<_> = (0..count)
        .map(|_| {
            beside(&model, async move |model| {
                let heard = model.call_behind(count).await;
                assert!(number(&model.call().await).is_some(), "joined the flight that panicked");
                heard
            })
        })
        .collect();
    let mut heard = Vec::new();
    for caller in callers {
        heard.push(caller.await.unwrap());
    }
    assert!(heard.windows(2).all(|two| is_same(&two[0], &two[1])), "{heard:?}");
    model.end().await;
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
    let model = Model::small(ends);
    let other = beside(&model, async |model| drop(model.call().await));
    drop(model.call().await);
    other.await.unwrap();
    model.end().await;
}

const fn panic_at_first(number: usize) -> End {
    if number == 0 { End::Panic } else { End::Good }
}

/// Fault matrix row 72.
#[test]
fn callers_share_one_in_flight_load() {
    some(|| callers(5, |_| End::Good));
}

#[test]
fn callers_share_one_error() {
    some(|| callers(5, |_| End::Bad));
}

/// Fault matrix row 21.
#[test]
fn callers_of_a_panicking_load_get_an_error() {
    some(|| callers(5, panic_at_first));
}

#[test]
fn two_callers_in_any_order_share_one_load() {
    all(|| two_callers(|_| End::Good));
}
