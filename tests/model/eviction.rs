//! A full cache.

use crate::rig::{End, Flown, KEY, PUT, World, beside, few};
use crate::single_flight::MOST;

/// The oldest slot is in flight, and there is no room for more.
async fn full() {
    let world = World::new(|_| End::Good);
    let oldest = world.fly_behind(1);
    for key in KEY + 1..MOST {
        world.cache.put(&key, Flown(PUT));
    }
    let put = beside(&world, async |world| {
        for key in MOST..MOST + 3 {
            world.cache.put(&key, Flown(PUT));
            assert!(world.cache.all().len() <= MOST);
        }
    });
    drop(world.call().await);
    drop(oldest.landed().await);
    put.await.unwrap();
    world.end().await;
}

#[test]
fn what_is_in_flight_keeps_its_slot() {
    few(full);
}
