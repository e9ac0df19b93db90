//! `rolecall agent status`: whether the daemon runs, and where its files are.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, LockStatus, Status, sanitize_for_terminal};

use crate::clock;
use crate::context::Context;
use crate::daemon::CallError;
use crate::error::CliError;
use crate::format_time;
use crate::output;
use crate::terminal::table;

/// Prints the status; exit code 3 if the daemon does not run.
pub(super) fn run(json: bool, context: &Context) -> Result<(), CliError> {
    let daemon = context.running_daemon()?;
    let status: Status = match daemon.call_json(&Endpoint::Status, b"") {
        Ok(status) => status,
        Err(error) => {
            if json && matches!(error, CallError::NotRunning) {
                output::print_json(&serde_json::json!({"running": false}))?;
            }
            return Err(error.into());
        }
    };
    if json {
        return output::print_json(
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
    let lines = lines.map(|(key, value)| (key, sanitize_for_terminal(&value)));
    format!("The agent is running.\n{}", table::key_values(&lines))
}

/// Whether the agent is locked, and when it locks.
fn lock(lock: &LockStatus, now: Timestamp, zone: &TimeZone) -> String {
    match (lock.locked, lock.since, lock.auto_lock_at) {
        (true, Some(since), _) => format!("locked since {}", format_time::short_time(now, since, zone)),
        (true, None, _) => "locked".to_owned(),
        (false, _, Some(locks)) => format!("unlocked; locks {}", format_time::from_now(now, locks)),
        (false, _, None) if lock.has_passphrase => "unlocked".to_owned(),
        (false, _, None) => "no passphrase yet".to_owned(),
    }
}
