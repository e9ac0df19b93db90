//! How often an idle daemon wakes up.

use std::fs;
use std::thread;
use std::time::Duration;

use rolecall_harness::Daemon;

use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE};
use crate::report::Row;

const PART: &str = "idle";
const MINUTE: Duration = Duration::from_mins(1);
/// Settling time after the last request, for background work that it started.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// Measures a daemon with 10,000 profiles, one of which has a session that is renewed.
pub(crate) fn measure(programs: &Programs) -> Vec<Row> {
    let fixture = Fixture::new(MANY);
    let daemon = fixture.start(programs);
    fixture.request_token(PROFILE);
    thread::sleep(SETTLING_TIME);
    let before = wake_ups(&daemon);
    thread::sleep(MINUTE);
    let during = wake_ups(&daemon).saturating_sub(before);
    vec![Row::new(PART, "wake-ups, 10,000 profiles", f64::from(during), "a minute").at_most(6.0)]
}

/// Returns how often the threads of the daemon went to sleep, and so were woken before.
fn wake_ups(daemon: &Daemon) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs");
    let switches = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse::<u32>().ok()
    };
    tasks.filter_map(|task| switches(task.ok()?)).sum()
}
