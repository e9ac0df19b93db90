//! The configuration is changed, and what is in flight is forgotten.

use crate::simulation::{End, Model, all, beside, some};

/// Callers before, while and after the key is forgotten, twice.
async fn changes(ends: fn(usize) -> End) {
    let model = Model::new(ends);
    let mut tasks: Vec<_> = (0..3)
        .map(|_| {
            beside(&model, async |model| {
                drop(model.call().await);
                drop(model.call().await);
            })
        })
        .collect();
    tasks.push(beside(&model, async |model| {
        for _ in 0..2 {
            model.forget();
            drop(model.call().await);
        }
    }));
    tasks.push(beside(&model, async |model| {
        for _ in 0..4 {
            model.peek();
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    model.end().await;
}

/// One flight, one forgetting, one flight after it.
async fn change(ends: fn(usize) -> End) {
    let model = Model::small(ends);
    let old = model.get_or_start();
    model.forget();
    drop(model.call().await);
    drop(old.wait().await);
    model.end().await;
}

/// Another task changes the key.
async fn change_beside(ends: fn(usize) -> End) {
    let model = Model::small(ends);
    let other = beside(&model, async |model| model.forget());
    drop(model.call().await);
    drop(model.call().await);
    other.await.unwrap();
    model.end().await;
}

#[test]
fn invalidated_load_stores_no_value() {
    some(|| changes(|_| End::Good));
}

#[test]
fn invalidated_load_stores_no_failure() {
    some(|| changes(|number| [End::Bad, End::Good, End::Panic][number % 3]));
}

#[test]
fn invalidated_load_and_successor_in_any_order() {
    all(|| change(|_| End::Good));
}

#[test]
fn invalidate_is_safe_at_any_time() {
    all(|| change_beside(|_| End::Good));
}
