//! A cache that is full.

use crate::simulation::{INSERTED, KEY, LoadEnd, Loaded, Model, check_few_schedules, spawn_task};
use crate::single_flight::MAX_SLOTS;

/// The oldest slot has a load in flight, and further insertions need room.
async fn full_cache() {
    let model = Model::new(|_| LoadEnd::Success);
    let oldest = model.start_gated(1);
    for key in KEY + 1..MAX_SLOTS {
        model.cache.insert_if_absent(&key, Loaded(INSERTED));
    }
    let insertions = spawn_task(&model, async |model| {
        for key in MAX_SLOTS..MAX_SLOTS + 3 {
            model.cache.insert_if_absent(&key, Loaded(INSERTED));
            assert!(model.cache.values().len() <= MAX_SLOTS);
        }
    });
    drop(model.call().await);
    drop(oldest.wait().await);
    insertions.await.unwrap();
    model.end().await;
}

#[test]
fn in_flight_load_is_not_evicted() {
    check_few_schedules(full_cache);
}
