//! Sessions that are renewed before anyone asks, and kept as long as AWS takes them when that fails.

use std::time::{Duration, SystemTime};

use rolecall_harness::{Fault, Op};
use rolecall_protocol::ProfileStatus;

use crate::world::{PROD, ROLE, World};

const MINUTE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Turns the clock, lets the engine look at it, and waits until it has made its plans.
fn pass(world: &World, time: Duration) {
    world.clock.advance(time);
    world.renewer.peek();
}

/// Waits until the one profile is as wanted; the engine works beside the test and tells nobody.
fn until<T>(world: &World, wanted: impl Fn(&ProfileStatus) -> Option<T>) -> T {
    for _ in 0..4000 {
        if let Some(found) = wanted(&world.agent.status.status().profiles[0]) {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("still not so: {:?}", world.agent.status.status().profiles[0]);
}

/// Waits until there is a plan, and tells how far off it is: the engine has seen the use, or the end of a renewal.
fn planned(world: &World) -> Duration {
    let at: SystemTime = until(world, |profile| profile.next_renewal).into();
    at.duration_since(world.clock.now()).unwrap_or_default()
}

#[test]
fn a_used_session_is_renewed_in_the_middle_of_its_life_and_nobody_waits() {
    let world = World::new();
    world.good_token("prod");
    let due = planned(&world);
    assert!(due > 26 * MINUTE && due < 34 * MINUTE, "{due:?}");
    pass(&world, due.saturating_sub(MINUTE));
    assert_eq!(world.aws.calls(Op::AssumeRole), 1, "not before it is due");
    pass(&world, 2 * MINUTE);
    world.aws.wait_for_responses(Op::AssumeRole, 2, PATIENCE);
    planned(&world);
    assert_eq!(world.good_token("prod").life(world.clock.now()), 14 * MINUTE);
    assert_eq!(world.aws.calls(Op::AssumeRole), 2, "the next kubectl found it done");
}

#[test]
fn what_nobody_uses_any_more_is_left_to_end() {
    let world = World::new();
    world.configure(&format!("{PROD}keep_warm = \"40min\"\n"));
    world.good_token("prod");
    pass(&world, planned(&world) + MINUTE);
    world.aws.wait_for_responses(Op::AssumeRole, 2, PATIENCE);
    // The second renewal would be due when nobody has asked for longer than that.
    pass(&world, planned(&world) + MINUTE);
    pass(&world, MINUTE);
    until(&world, |profile| profile.next_renewal.is_none().then_some(()));
    assert_eq!(world.aws.calls(Op::AssumeRole), 2);
}

#[test]
fn keep_warm_of_nothing_is_no_renewal() {
    let world = World::new();
    world.configure(&format!("{PROD}keep_warm = \"0s\"\n"));
    world.good_token("prod");
    pass(&world, planned(&world) + MINUTE);
    until(&world, |profile| profile.next_renewal.is_none().then_some(()));
    assert_eq!(world.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn rows_58_and_60_sts_is_down_for_25_minutes_and_nobody_notices() {
    let world = World::new();
    world.good_token("prod");
    let due = planned(&world);
    pass(&world, due.saturating_sub(MINUTE));
    world.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "for a while").forever());
    for _ in 0..25 {
        pass(&world, MINUTE);
        world.good_token("prod");
    }
    let failed = world.aws.calls(Op::AssumeRole);
    assert!(failed > 2, "{failed} calls: it kept trying");
    assert!(failed <= 1 + 2 * 25, "{failed} calls: with pauses");
    world.aws.clear_faults();
    let before = world.agent.status.status().profiles[0].session.clone().unwrap();
    let back = world.clock.now();
    // Soon after AWS's return (within a minute, says the engine's own test, where nothing happens beside the clock).
    until(&world, |profile| {
        pass(&world, Duration::from_secs(1));
        profile.session.as_ref().filter(|now| now.issued != before.issued).map(|_| ())
    });
    assert!(world.clock.now() < back + 3 * MINUTE);
    assert_eq!(world.good_token("prod").life(world.clock.now()), 14 * MINUTE);
    assert!(world.aws.log_of(Op::AssumeRole).iter().all(|call| call.role_arn.as_deref() == Some(ROLE)));
}
