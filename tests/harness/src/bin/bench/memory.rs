//! Resident memory of the daemon, from `/proc/PID/status`.

use std::fs;
use std::thread;
use std::time::Duration;

use rolecall_harness::{Daemon, Role};

use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE, entry, role};
use crate::report::Row;

const PART: &str = "memory";
const SESSIONS: usize = 2_000;
/// Length of a session token of STS with tags and policies.
const SESSION_TOKEN: usize = 1_000;
/// Equal to the number of concurrent STS calls of the daemon.
const CALLERS: usize = 8;
/// Settling time after the last request, for background work that it started.
const SETTLING_TIME: Duration = Duration::from_secs(3);

pub(crate) fn measure(programs: &Programs, roles: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for (profiles, what) in [(1, "idle, 1 profile"), (MANY, "idle, 10,000 profiles")] {
        let fixture = Fixture::new(profiles);
        let daemon = fixture.start(programs);
        // A daemon that has not called AWS has not touched half of its code yet.
        fixture.request_token(PROFILE);
        rows.extend(resident(&daemon, what, 15.0));
    }
    rows.extend(with_sessions(programs, roles));
    rows
}

/// Measures 10,000 profiles, 2,000 of which have a session.
fn with_sessions(programs: &Programs, roles: bool) -> Vec<Row> {
    let fixture = Fixture::new(1);
    fixture.configure(MANY, &if roles { by_roles(&fixture) } else { by_regions(&fixture) });
    let daemon = fixture.start(programs);
    fixture.request_token(PROFILE);
    let ask = |first| (first..SESSIONS).step_by(CALLERS).for_each(|number| fixture.request_token(&session(number)));
    thread::scope(|scope| {
        for first in 0..CALLERS {
            scope.spawn(move || ask(first));
        }
    });
    let what = if roles { "2,000 sessions of roles, 10,000 profiles" } else { "2,000 sessions, 10,000 profiles" };
    resident(&daemon, what, 30.0)
}

/// Sessions without STS, which the daemon calls at most five times per second: the credentials of the source itself,
/// once for each region. The daemon keeps each as a separate session with a session token of realistic length. It
/// lacks what only a session of a role has: the role in every key, and a scheduled renewal. `--roles` measures those.
/// All sessions share one source: the daemon reads AWS's files for each source, and 2,000 AWS profiles would be
/// measured too.
fn by_regions(fixture: &Fixture) -> String {
    let token = "A".repeat(SESSION_TOKEN);
    fixture.sandbox.append_aws_config(&format!(
        "[profile keys]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n\
         aws_session_token = {token}\n"
    ));
    let profile = |number| entry(&session(number), number, &format!("eu-west-{number}")).replace("work", "keys");
    format!("[sources.keys]\naws_profile = \"keys\"\n{}", (0..SESSIONS).map(profile).collect::<String>())
}

/// Sessions as in real use: one assumed role each.
fn by_roles(fixture: &Fixture) -> String {
    let profile = |number| {
        let role = role(MANY + number);
        fixture.aws.add_role(Role::new(&role).trusts("*").session_token_length(SESSION_TOKEN));
        format!("{}role_arn = \"{role}\"\n", entry(&session(number), number, "eu-west-1"))
    };
    (0..SESSIONS).map(profile).collect()
}

fn session(number: usize) -> String {
    format!("session-{number:04}")
}

fn resident(daemon: &Daemon, what: &str, bar: f64) -> Vec<Row> {
    thread::sleep(SETTLING_TIME);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon runs");
    let megabytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel reports the field");
        let kilobytes: f64 = line.trim_end_matches(" kB").trim().parse().expect("a number");
        kilobytes * 1024.0 / 1e6
    };
    vec![
        Row::new(PART, format!("resident, {what}"), megabytes("VmRSS:"), "MB").at_most(bar),
        Row::new(PART, format!("  of it private, {what}"), megabytes("RssAnon:"), "MB"),
    ]
}
