//! How often an idle daemon wakes up.

use std::thread;
use std::time::Duration;

use crate::Context;
use crate::fixture::{Fixture, MANY, PROFILE};
use crate::process::wake_ups;
use crate::report::{Report, Row};

const MINUTE: Duration = Duration::from_mins(1);
/// Settling time after the last request, for background work that it started.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Measures a daemon with 10,000 profiles, one of which has a session that is renewed.
pub(crate) fn measure(context: &Context, report: &mut Report) {
    let fixture = Fixture::new(MANY);
    let daemon = fixture.start(&context.programs);
    fixture.request_token(PROFILE);
    thread::sleep(SETTLING_TIME);
    let before = wake_ups(daemon.pid());
    thread::sleep(MINUTE);
    let during = wake_ups(daemon.pid()).saturating_sub(before);
    report.add(Row::new("idle", "wake-ups a minute, idle, 10,000 profiles", f64::from(during), "").at_most(4.0));
}
