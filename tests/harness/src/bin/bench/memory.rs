//! What a daemon keeps resident, by `/proc/PID/status`.

use std::fs;
use std::thread;
use std::time::Duration;

use rolecall_harness::{Daemon, Role};

use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE, entry, role};
use crate::report::Row;

const PART: &str = "memory";
const SESSIONS: usize = 2_000;
/// What a session token of STS weighs, tags and policies included.
const SESSION_TOKEN: usize = 1_000;
/// As many as the daemon has under way at STS.
const CALLERS: usize = 8;
/// After the last event, for what was begun by it.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) fn measure(programs: &Programs, roles: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for (profiles, what) in [(1, "idle, 1 profile"), (MANY, "idle, 10,000 profiles")] {
        let fixture = Fixture::new(profiles);
        let daemon = fixture.start(programs);
        // One that has never spoken to AWS has not touched half of its code yet.
        fixture.ask(PROFILE);
        rows.extend(resident(&daemon, what, 15.0));
    }
    rows.extend(with_sessions(programs, roles));
    rows
}

/// Ten thousand profiles, two thousand of them with a session.
fn with_sessions(programs: &Programs, roles: bool) -> Vec<Row> {
    let fixture = Fixture::new(1);
    fixture.configure(MANY, &if roles { by_roles(&fixture) } else { by_regions(&fixture) });
    let daemon = fixture.start(programs);
    fixture.ask(PROFILE);
    let ask = |first| (first..SESSIONS).step_by(CALLERS).for_each(|number| fixture.ask(&session(number)));
    thread::scope(|scope| {
        for first in 0..CALLERS {
            scope.spawn(move || ask(first));
        }
    });
    let what = if roles { "2,000 sessions of roles, 10,000 profiles" } else { "2,000 sessions, 10,000 profiles" };
    resident(&daemon, what, 30.0)
}

/// Sessions without STS, which is asked for five a second at most: the source's own credentials, once per region. Each is a
/// session of its own to the daemon, with a session token as large as a real one's, but it is lighter by what only a role
/// has: the role in every key, and a plan of its renewal. `--roles` is the exact measure. Not a source for each: AWS's files
/// are read anew for every one, and files of two thousand AWS profiles, which nobody has, would be measured too.
fn by_regions(fixture: &Fixture) -> String {
    let token = "A".repeat(SESSION_TOKEN);
    fixture.sandbox.append_aws_config(&format!(
        "[profile keys]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n\
         aws_session_token = {token}\n"
    ));
    let profile = |number| entry(&session(number), number, &format!("eu-west-{number}")).replace("work", "keys");
    format!("[sources.keys]\naws_profile = \"keys\"\n{}", (0..SESSIONS).map(profile).collect::<String>())
}

/// Sessions as they come: a role each, assumed.
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
    thread::sleep(SETTLED);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the daemon lives");
    let megabytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
        let kilobytes: f64 = line.trim_end_matches(" kB").trim().parse().expect("a number");
        kilobytes * 1024.0 / 1e6
    };
    vec![
        Row::new(PART, format!("resident, {what}"), megabytes("VmRSS:"), "MB").at_most(bar),
        Row::new(PART, format!("  of it its own, {what}"), megabytes("RssAnon:"), "MB"),
    ]
}
