//! `rolecall agent restart`: the daemon executes its program again and keeps its socket, process and sessions. If it
//! cannot, it is stopped and started.

use std::time::Duration;

use rolecall_protocol::{
    DaemonStatus, Endpoint, ErrorCode, ProfileStatus, Restarting, Status, location, sanitize_for_terminal,
};

use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::config_status::check_same_config;
use crate::daemon::{CallError, Daemon};
use crate::error::{CliError, Exit};
use crate::output;

/// How long the daemon may take for its status. After that it is stopped.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to check its program and to respond: the daemon gives the program 10 s. A stop loses the sessions, so a busy
/// machine must not cause one.
const RESTART_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the restart may take.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the status is read until then.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The suffix if the sessions were not kept.
const SESSIONS_LOST: &str = "; its sessions are assumed again";

/// Runs the command.
pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let daemon = context.running_daemon()?;
    let before: Status = match daemon.call_json_within(&Endpoint::Status, b"", Deadline::after(STATUS_TIMEOUT)) {
        Ok(status) => status,
        Err(CallError::NotRunning) => return super::start::run(context, ""),
        // These errors have their own hint; there is no daemon to stop.
        Err(error @ (CallError::Location(_) | CallError::UntrustedSocket { .. })) => return Err(error.into()),
        Err(_) => return stop_and_start(context),
    };
    // A restart keeps the daemon's configuration file; the user wants the one of this shell.
    if !location::config().is_ok_and(|ours| check_same_config(&ours, &before.config, &context.environment).is_ok()) {
        return stop_and_start(context);
    }
    match daemon.call_json_within::<Restarting>(&Endpoint::Restart, b"", Deadline::after(RESTART_TIMEOUT)) {
        Ok(_) => {}
        Err(CallError::Rejected(said)) if matches!(said.code, ErrorCode::RestartRefused | ErrorCode::Unknown) => {
            return Err(said.into());
        }
        // The daemon cannot restart, or does not answer.
        Err(_) => return stop_and_start(context),
    }
    match wait(&daemon, &before)? {
        Some(after) => print_restarted(context, &before, &after),
        None => super::start::run(context, SESSIONS_LOST),
    }
}

fn stop_and_start(context: &Context) -> Result<(), CliError> {
    super::stop::run(context)?;
    super::start::run(context, SESSIONS_LOST)
}

/// Waits until the new program answers. `None` if it has ended.
fn wait(daemon: &Daemon, before: &Status) -> Result<Option<Status>, CliError> {
    let deadline = Deadline::after(READY_TIMEOUT);
    loop {
        match daemon.call_json_within::<Status>(&Endpoint::Status, b"", deadline) {
            Ok(status) if is_new_process(&before.daemon, &status.daemon) => return Ok(Some(status)),
            Ok(_) => {}
            Err(CallError::NotRunning) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if !deadline.sleep(POLL_INTERVAL) {
            let message = format!("the agent did not restart within {} s and still runs", READY_TIMEOUT.as_secs());
            return Err(CliError::new(Exit::Unreachable, message, "See: rolecall agent logs"));
        }
    }
}

fn is_new_process(before: &DaemonStatus, now: &DaemonStatus) -> bool {
    (before.pid, before.restarts) != (now.pid, now.restarts)
}

fn print_restarted(context: &Context, before: &Status, after: &Status) -> Result<(), CliError> {
    let version = sanitize_for_terminal(&after.daemon.version);
    context.print_done(&format!(
        "the agent restarted (pid {}, version {version}){}",
        after.daemon.pid,
        sessions_text(&before.profiles, &after.profiles)
    ))?;
    let ours = env!("CARGO_PKG_VERSION");
    if version == ours {
        return Ok(());
    }
    output::print(&format!(
        "{} this client is version {ours}; to run the daemon that is installed with it: rolecall agent stop, then rolecall agent start\n",
        context.screen.warning()
    ))
}

/// How many sessions were kept; empty if there were none.
fn sessions_text(before: &[ProfileStatus], after: &[ProfileStatus]) -> String {
    // Long-lived access keys do not count as sessions.
    let has = |profile: &&ProfileStatus| profile.session.as_ref().is_some_and(|session| session.expires.is_some());
    let is_there = |profile: &&ProfileStatus| after.iter().any(|other| other.name == profile.name);
    let had: Vec<_> = before.iter().filter(has).filter(is_there).map(|profile| &profile.name).collect();
    let kept = after.iter().filter(has).filter(|profile| had.contains(&&profile.name)).count();
    match (kept, had.len()) {
        (_, 0) => String::new(),
        (0, _) => SESSIONS_LOST.to_owned(),
        (kept, all) if kept == all => "; its sessions were kept".to_owned(),
        (kept, all) => format!("; {kept} of {all} sessions were kept, the others are assumed again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_text_counts_kept_sessions() {
        let profile = |name: &str, expires: Option<&str>| -> ProfileStatus {
            let mut session = serde_json::json!({"key_id_suffix": "MPLE", "issued": "2026-01-02T03:04:05Z"});
            if let Some(expires) = expires {
                session["expires"] = expires.into();
            }
            let profile = serde_json::json!({"name": name, "cluster": "c", "region": "eu-west-1", "source": "work",
                "state": "ready", "session": session});
            serde_json::from_value(profile).unwrap()
        };
        let end = Some("2026-01-02T04:04:05Z");
        let (a, b, keys) = (profile("a", end), profile("b", end), profile("k", None));
        let unused = serde_json::json!({"name": "a", "cluster": "c", "region": "eu-west-1", "source": "work", "state": "unused"});
        let unused: ProfileStatus = serde_json::from_value(unused).unwrap();
        let (both, one, other, none) = ([a.clone(), b.clone()], [a.clone()], [b.clone()], [unused.clone(), b]);
        assert_eq!(sessions_text(std::slice::from_ref(&keys), &[]), "");
        assert_eq!(sessions_text(&[a, keys], &one), "; its sessions were kept");
        assert_eq!(sessions_text(&one, &other), "", "it is not configured any more");
        assert_eq!(sessions_text(&one, &[unused]), "; its sessions are assumed again");
        assert_eq!(sessions_text(&both, &none), "; 1 of 2 sessions were kept, the others are assumed again");
    }
}
