//! Background renewal of sessions, and what happens when it fails.

use std::time::{Duration, SystemTime};

use rolecall_harness::{Fault, Op};
use rolecall_protocol::ProfileStatus;

use crate::fixture::{Fixture, PROD, ROLE};

const MINUTE: Duration = Duration::from_mins(1);
const HANG_GUARD: Duration = Duration::from_secs(20);

/// Advances the clock and wakes the renewer.
fn pass(fixture: &Fixture, time: Duration) {
    fixture.clock.advance(time);
    fixture.renewer.poll();
}

/// Waits until the profile has the expected status. The renewer runs in another thread and sends no event. The number of
/// rounds only fails a test that hangs.
fn until<T>(fixture: &Fixture, wanted: impl Fn(&ProfileStatus) -> Option<T>) -> T {
    for _ in 0..4000 {
        if let Some(found) = wanted(&fixture.agent.status.status().profiles[0]) {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("unexpected status: {:?}", fixture.agent.status.status().profiles[0]);
}

/// Waits until a renewal is planned, and returns the time until then.
fn planned(fixture: &Fixture) -> Duration {
    let at: SystemTime = until(fixture, |profile| profile.next_renewal).into();
    at.duration_since(fixture.clock.now()).unwrap_or_default()
}

#[test]
fn session_in_use_is_renewed_without_delay() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    let due = planned(&fixture);
    assert!(due > 26 * MINUTE && due < 30 * MINUTE, "{due:?}");
    pass(&fixture, due.saturating_sub(MINUTE));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1, "not before it is due");
    pass(&fixture, 2 * MINUTE);
    fixture.aws.wait_for_responses(Op::AssumeRole, 2, HANG_GUARD);
    planned(&fixture);
    assert_eq!(fixture.good_token("prod").life(fixture.clock.now()), 14 * MINUTE);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2, "the next kubectl uses the renewed session");
}

#[test]
fn session_not_in_use_expires() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}keep_warm = \"40min\"\n"));
    fixture.good_token("prod");
    pass(&fixture, planned(&fixture) + MINUTE);
    fixture.aws.wait_for_responses(Op::AssumeRole, 2, HANG_GUARD);
    // The second renewal would be due after the profile was unused for `keep_warm`.
    pass(&fixture, planned(&fixture) + MINUTE);
    pass(&fixture, MINUTE);
    until(&fixture, |profile| profile.next_renewal.is_none().then_some(()));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2);
}

#[test]
fn keep_warm_zero_disables_renewal() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}keep_warm = \"0s\"\n"));
    fixture.good_token("prod");
    pass(&fixture, planned(&fixture) + MINUTE);
    until(&fixture, |profile| profile.next_renewal.is_none().then_some(()));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

/// Fault matrix rows 58 and 60.
#[test]
fn sts_down_25_minutes_does_not_interrupt_tokens() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    let due = planned(&fixture);
    pass(&fixture, due.saturating_sub(MINUTE));
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "for a while").forever());
    for _ in 0..25 {
        pass(&fixture, MINUTE);
        fixture.good_token("prod");
    }
    let failed = fixture.aws.calls(Op::AssumeRole);
    assert!(failed > 2, "{failed} calls: it kept trying");
    assert!(failed <= 1 + 2 * 25, "{failed} calls: with pauses");
    fixture.aws.clear_faults();
    let before = fixture.agent.status.status().profiles[0].session.clone().unwrap();
    let back = fixture.clock.now();
    // After the longest pause between two attempts.
    until(&fixture, |profile| {
        pass(&fixture, Duration::from_secs(1));
        profile.session.as_ref().filter(|now| now.issued != before.issued).map(|_| ())
    });
    assert!(fixture.clock.now() < back + 6 * MINUTE);
    assert_eq!(fixture.good_token("prod").life(fixture.clock.now()), 14 * MINUTE);
    assert!(fixture.aws.log_of(Op::AssumeRole).iter().all(|call| call.role_arn.as_deref() == Some(ROLE)));
}
