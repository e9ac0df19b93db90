//! `rolecall agent …`: the daemon itself.

mod logs;
mod restart;
mod stop;

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::OwoColorize;
use rolecall_protocol::{Endpoint, LockStatus, Status, sanitize_for_terminal};

use crate::cli::AgentAction;
use crate::clock::{self, Deadline};
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon, IfAbsent};
use crate::error::CliError;
use crate::format_time;
use crate::output;
use crate::run::Context;

/// Does it.
pub(crate) fn run(action: &AgentAction, context: &Context) -> Result<(), CliError> {
    match action {
        AgentAction::Start => start(context, ""),
        AgentAction::Stop => stop::run(context),
        AgentAction::Restart => restart::run(context),
        AgentAction::Status { json } => status(*json),
        AgentAction::Logs { follow, lines } => logs::run(*follow, *lines),
    }
}

/// Makes sure that it runs, and says so, with what else there is to say of it.
fn start(context: &Context, more: &str) -> Result<(), CliError> {
    let daemon = Daemon::find(IfAbsent::Start)?;
    let started = daemon.ensure(Deadline::after(CALL_TIMEOUT))?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let verb = if started { "started" } else { "is running already" };
    output::print(&format!(
        "{} the agent {verb} (pid {}, {}){more}\n",
        context.screen.tick(),
        status.daemon.pid,
        sanitize_for_terminal(&status.daemon.socket)
    ))
}

fn status(json: bool) -> Result<(), CliError> {
    let daemon = Daemon::find(IfAbsent::Fail)?;
    let status: Status = match daemon.call_json(&Endpoint::Status, b"") {
        Ok(status) => status,
        Err(error) => {
            if json && matches!(error, CallError::NotRunning) {
                super::print_json(&serde_json::json!({"running": false}))?;
            }
            return Err(error.into());
        }
    };
    if json {
        return super::print_json(
            &serde_json::json!({"running": true, "daemon": status.daemon, "config": status.config}),
        );
    }
    output::print(&render(&status))
}

fn render(status: &Status) -> String {
    let (now, zone) = (clock::now(), TimeZone::system());
    let daemon = &status.daemon;
    let since = format_time::duration(now.duration_since(daemon.started));
    let config = match (&status.config.problem, status.config.loaded) {
        (Some(_), _) => format!("{} (broken, see rolecall status)", status.config.path),
        (None, Some(loaded)) => format!("{} (read {})", status.config.path, format_time::ago(now, loaded)),
        (None, None) => status.config.path.clone(),
    };
    let lines = [
        ("pid", daemon.pid.to_string()),
        ("version", format!("{} (protocol {})", daemon.version, daemon.protocol)),
        ("up", format!("{since}, since {}", format_time::date_time(daemon.started, &zone))),
        ("socket", daemon.socket.clone()),
        ("log", daemon.log.clone().unwrap_or_else(|| "standard error".to_owned())),
        ("config", config),
        ("clock", format_time::clock_status(daemon.clock.as_ref(), now)),
        ("lock", lock(&daemon.lock, now, &zone)),
        ("profiles", status.profiles.len().to_string()),
    ];
    let body = lines
        .iter()
        .map(|(key, value)| format!("  {}  {}\n", format!("{key:<8}").dimmed(), sanitize_for_terminal(value)));
    format!("The agent is running.\n{}", body.collect::<String>())
}

/// Whether it is locked, and when it will be.
fn lock(lock: &LockStatus, now: Timestamp, zone: &TimeZone) -> String {
    match (lock.locked, lock.since, lock.auto_lock_at) {
        (true, Some(since), _) => format!("locked since {}", format_time::short_time(now, since, zone)),
        (true, None, _) => "locked".to_owned(),
        (false, _, Some(locks)) => format!("unlocked; locks {}", format_time::from_now(now, locks)),
        (false, _, None) if lock.has_passphrase => "unlocked".to_owned(),
        (false, _, None) => "no passphrase yet".to_owned(),
    }
}
