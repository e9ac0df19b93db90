//! A full cache.

use crate::simulation::{End, Flown, KEY, Model, PUT, beside, few};
use crate::single_flight::MAX_SLOTS;

/// The oldest slot is in flight, and there is no room for more.
async fn full() {
    let model = Model::new(|_| End::Good);
    let oldest = model.fly_behind(1);
    for key in KEY + 1..MAX_SLOTS {
        model.cache.insert_if_absent(&key, Flown(PUT));
    }
    let put = beside(&model, async |model| {
        for key in MAX_SLOTS..MAX_SLOTS + 3 {
            model.cache.insert_if_absent(&key, Flown(PUT));
            assert!(model.cache.values().len() <= MAX_SLOTS);
        }
    });
    drop(model.call().await);
    drop(oldest.wait().await);
    put.await.unwrap();
    model.end().await;
}

#[test]
fn in_flight_load_is_not_evicted() {
    few(full);
}
