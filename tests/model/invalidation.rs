//! Invalidation while loads are in flight, as after a change of the configuration.

use crate::simulation::{LoadEnd, Model, check_all_schedules, check_random_schedules, spawn_task};

/// Callers before, during and after two invalidations.
async fn invalidations(ends: fn(usize) -> LoadEnd) {
    let model = Model::new(ends);
    let mut tasks: Vec<_> = (0..3)
        .map(|_| {
            spawn_task(&model, async |model| {
                drop(model.call().await);
                drop(model.call().await);
            })
        })
        .collect();
    tasks.push(spawn_task(&model, async |model| {
        for _ in 0..2 {
            model.invalidate();
            drop(model.call().await);
        }
    }));
    tasks.push(spawn_task(&model, async |model| {
        for _ in 0..4 {
            model.peek();
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    model.end().await;
}

/// One load, an invalidation, and one load after it.
async fn invalidation(ends: fn(usize) -> LoadEnd) {
    let model = Model::small(ends);
    let old = model.get_or_start();
    model.invalidate();
    drop(model.call().await);
    drop(old.wait().await);
    model.end().await;
}

/// Another task invalidates the key.
async fn concurrent_invalidation(ends: fn(usize) -> LoadEnd) {
    let model = Model::small(ends);
    let other = spawn_task(&model, async |model| model.invalidate());
    drop(model.call().await);
    drop(model.call().await);
    other.await.unwrap();
    model.end().await;
}

#[test]
fn invalidated_load_stores_no_value() {
    check_random_schedules(|| invalidations(|_| LoadEnd::Success));
}

#[test]
fn invalidated_load_stores_no_failure() {
    check_random_schedules(|| invalidations(|number| [LoadEnd::Failure, LoadEnd::Success, LoadEnd::Panic][number % 3]));
}

#[test]
fn invalidated_load_and_successor_in_any_order() {
    check_all_schedules(|| invalidation(|_| LoadEnd::Success));
}

#[test]
fn invalidate_is_safe_at_any_time() {
    check_all_schedules(|| concurrent_invalidation(|_| LoadEnd::Success));
}
