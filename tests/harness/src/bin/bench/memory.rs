//! Resident memory of the daemon, from `/proc/PID/status`.

use std::thread;
use std::time::Duration;

use rolecall_harness::{Daemon, Role};

use crate::Context;
use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE, entry, role};
use crate::process::megabytes;
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "memory";
const SESSIONS: usize = 2_000;
/// Daemons that are measured at the same time, each in a sandbox of its own.
const DAEMONS: usize = 3;
/// Length of a session token of STS with tags and policies.
const SESSION_TOKEN: usize = 1_000;
/// Equal to the number of concurrent STS calls of the daemon.
const CALLERS: usize = 8;
/// Settling time after the last request, for background work that it started.
const SETTLING_TIME: Duration = Duration::from_secs(3);

pub(crate) fn measure(context: &Context, report: &mut Report) {
    for (profiles, what, bar) in [(1, "idle, 1 profile", Some(12.0)), (MANY, "idle, 10,000 profiles", None)] {
        let start = |_| {
            let fixture = Fixture::new(profiles);
            let daemon = fixture.start(&context.programs);
            // A daemon that has not called AWS has not touched half of its code yet.
            fixture.request_token(PROFILE);
            (fixture, daemon)
        };
        add_resident(report, what, bar, &(0..DAEMONS).map(start).collect::<Vec<_>>());
    }
    let what =
        if context.roles { "10,000 profiles, 2,000 sessions of roles" } else { "10,000 profiles, 2,000 sessions" };
    let repetitions = if context.roles { 1 } else { DAEMONS };
    let start = |_| with_sessions(&context.programs, context.roles);
    add_resident(report, what, Some(24.0), &(0..repetitions).map(start).collect::<Vec<_>>());
}

/// Starts a daemon with 10,000 profiles, 2,000 of which have a session.
fn with_sessions(programs: &Programs, roles: bool) -> (Fixture, Daemon) {
    let fixture = Fixture::new(1);
    fixture.configure(MANY, &if roles { by_roles(&fixture) } else { by_regions(&fixture) });
    let daemon = fixture.start(programs);
    fixture.request_token(PROFILE);
    let ask =
        |first| (first..SESSIONS).step_by(CALLERS).for_each(|number| drop(fixture.request_token(&session(number))));
    thread::scope(|scope| {
        for first in 0..CALLERS {
            scope.spawn(move || ask(first));
        }
    });
    (fixture, daemon)
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
    let regions: Vec<String> = (0..SESSIONS).map(|number| format!("\"eu-west-{number}\"")).collect();
    format!(
        "[network]\nextra_regions = [{}]\n[sources.keys]\naws_profile = \"keys\"\n{}",
        regions.join(", "),
        (0..SESSIONS).map(profile).collect::<String>()
    )
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

/// Adds the memory of these daemons after a settling time.
fn add_resident(report: &mut Report, what: &str, bar: Option<f64>, daemons: &[(Fixture, Daemon)]) {
    thread::sleep(SETTLING_TIME);
    let sample = |key| {
        let values: Vec<f64> = daemons.iter().map(|(_, daemon)| megabytes(daemon.pid(), key)).collect();
        Sample::of_repetitions(&values)
    };
    let row = |what, Sample { value, spread }| Row::new(PART, what, value, "MB").spread(spread);
    let resident = row(format!("resident memory, {what}"), sample("VmRSS:")).lower_is_better();
    report.add(match bar {
        Some(bar) => resident.at_most(bar),
        None => resident,
    });
    report.add(row(format!("  of it private, {what}"), sample("RssAnon:")));
}
