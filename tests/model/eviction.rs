//! A full cache.

use crate::rig::{End, Flown, KEY, PUT, World, beside, few};
use crate::single_flight::MAX_SLOTS;

/// The oldest slot is in flight, and there is no room for more.
async fn full() {
    let world = World::new(|_| End::Good);
    let oldest = world.fly_behind(1);
    for key in KEY + 1..MAX_SLOTS {
        world.cache.insert_if_absent(&key, Flown(PUT));
    }
    let put = beside(&world, async |world| {
        for key in MAX_SLOTS..MAX_SLOTS + 3 {
            world.cache.insert_if_absent(&key, Flown(PUT));
            assert!(world.cache.values().len() <= MAX_SLOTS);
        }
    });
    drop(world.call().await);
    drop(oldest.wait().await);
    put.await.unwrap();
    world.end().await;
}

#[test]
fn what_is_in_flight_keeps_its_slot() {
    few(full);
}
