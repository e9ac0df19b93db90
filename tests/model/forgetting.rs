//! The configuration is changed, and what is in flight is forgotten.

use crate::rig::{End, World, all, beside, some};

/// Callers before, while and after the key is forgotten, twice.
async fn changes(ends: fn(usize) -> End) {
    let world = World::new(ends);
    let mut tasks: Vec<_> = (0..3)
        .map(|_| {
            beside(&world, async |world| {
                drop(world.call().await);
                drop(world.call().await);
            })
        })
        .collect();
    tasks.push(beside(&world, async |world| {
        for _ in 0..2 {
            world.forget();
            drop(world.call().await);
        }
    }));
    tasks.push(beside(&world, async |world| {
        for _ in 0..4 {
            world.peek();
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    world.end().await;
}

/// One flight, one forgetting, one flight after it.
async fn change(ends: fn(usize) -> End) {
    let world = World::small(ends);
    let old = world.get_or_start();
    world.forget();
    drop(world.call().await);
    drop(old.wait().await);
    world.end().await;
}

/// Somebody else changes it.
async fn change_beside(ends: fn(usize) -> End) {
    let world = World::small(ends);
    let other = beside(&world, async |world| world.forget());
    drop(world.call().await);
    drop(world.call().await);
    other.await.unwrap();
    world.end().await;
}

#[test]
fn what_was_forgotten_lands_nowhere() {
    some(|| changes(|_| End::Good));
}

#[test]
fn what_was_forgotten_fails_nowhere() {
    some(|| changes(|number| [End::Bad, End::Good, End::Panic][number % 3]));
}

#[test]
fn a_flight_and_its_successor_in_any_order() {
    all(|| change(|_| End::Good));
}

#[test]
fn a_forgetting_at_any_moment() {
    all(|| change_beside(|_| End::Good));
}
