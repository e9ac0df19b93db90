//! A full cache.

use crate::simulation::{End, Flown, KEY, Model, PUT, beside, few};
use crate::single_flight::MOST;

/// The oldest slot is in flight, and there is no room for more.
async fn full() {
    let model = Model::new(|_| End::Good);
    let oldest = model.fly_behind(1);
    for key in KEY + 1..MOST {
        model.cache.put(&key, Flown(PUT));
    }
    let put = beside(&model, async |model| {
        for key in MOST..MOST + 3 {
            model.cache.put(&key, Flown(PUT));
            assert!(model.cache.all().len() <= MOST);
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
