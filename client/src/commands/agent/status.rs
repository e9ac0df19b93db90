//! `rolecall agent status`: whether the daemon runs, and where its files are.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{AuditStatus, DaemonStatus, Endpoint, LockStatus, Status, sanitize_for_terminal};

use crate::cli;
use crate::clock;
use crate::context::Context;
use crate::daemon::CallError;
use crate::error::CliError;
use crate::format_time;
use crate::output;
use crate::terminal::style::Screen;
use crate::terminal::table;

/// Prints the status; exit code 3 if the daemon does not run.
pub(super) fn run(format: &cli::Output, context: &Context) -> Result<(), CliError> {
    let daemon = context.running_daemon()?;
    let status: Status = match daemon.call_json(&Endpoint::Status, b"") {
        Ok(status) => status,
        Err(error) => {
            if let Some(format) = format.data().filter(|_| matches!(error, CallError::NotRunning)) {
                output::print_data(format, &serde_json::json!({"running": false}))?;
            }
            return Err(error.into());
        }
    };
    if let Some(format) = format.data() {
        let data = serde_json::json!({"running": true, "daemon": status.daemon, "config": status.config});
        return output::print_data(format, &data);
    }
    output::print(&render(&status, context.screen.widened(format.is_wide())))
}

fn render(status: &Status, screen: Screen) -> String {
    let (now, zone) = (clock::now(), format_time::local_zone());
    let daemon = &status.daemon;
    let started = started(daemon, now, clock::since_boot());
    let uptime = format_time::duration(now.duration_since(started));
    let config = match (&status.config.problem, status.config.loaded) {
        (Some(_), _) => format!("{} (broken, see rolecall status)", status.config.path),
        (None, Some(loaded)) => format!("{} (read {})", status.config.path, format_time::ago(now, loaded)),
        (None, None) => status.config.path.clone(),
    };
    let lines = [
        ("pid", daemon.pid.to_string()),
        ("version", format!("{} (protocol {})", daemon.version, daemon.protocol)),
        ("up", format!("{uptime}, since {}", format_time::date_time(started, &zone))),
        ("socket", daemon.socket.clone()),
        ("log", daemon.log.clone().unwrap_or_else(|| "standard error".to_owned())),
        ("audit", audit(daemon.audit.as_ref())),
        ("config", config),
        ("clock", format_time::clock_status(daemon.clock.as_ref(), now)),
        ("lock", lock(&daemon.lock, now, &zone)),
        ("profiles", status.profiles.len().to_string()),
    ];
    let lines = lines.map(|(key, value)| (key, sanitize_for_terminal(&value)));
    format!("The agent is running.\n{}", table::key_values(&lines, screen))
}

/// When the daemon started, by the clock as it is now: the clock may have been set since then. `since_boot` is the time
/// from boot to `now`.
fn started(daemon: &DaemonStatus, now: Timestamp, since_boot: Duration) -> Timestamp {
    let started = daemon.started_after_boot.map(Duration::from_secs);
    let uptime = started.and_then(|started| since_boot.checked_sub(started));
    uptime.and_then(|uptime| now.checked_sub(uptime).ok()).unwrap_or(daemon.started)
}

/// Where the audit log is, and what is missing in it.
fn audit(audit: Option<&AuditStatus>) -> String {
    let Some(audit) = audit else { return "none".to_owned() };
    let lost = if audit.lost > 0 { format!("; {} decisions were lost", audit.lost) } else { String::new() };
    let problem = audit.problem.as_ref().map(|problem| format!("; cannot be written: {problem}")).unwrap_or_default();
    format!("{}{problem}{lost}", audit.file)
}

/// Whether the agent is locked, and when it locks.
fn lock(lock: &LockStatus, now: Timestamp, zone: &TimeZone) -> String {
    match (lock.locked, lock.since, lock.auto_lock_at) {
        (true, Some(since), _) => format!("locked since {}", format_time::short_time(now, since, zone)),
        (true, None, _) => "locked".to_owned(),
        (false, _, Some(locks)) => {
            let or = if lock.with_desktop { ", or with the desktop" } else { "" };
            format!("unlocked; locks {}{or}", format_time::from_now(now, locks))
        }
        (false, _, None) if lock.with_desktop => "unlocked; locks with the desktop".to_owned(),
        (false, _, None) if lock.has_passphrase => "unlocked".to_owned(),
        (false, _, None) => "no passphrase yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn started_is_independent_of_a_set_clock() {
        let mut daemon: DaemonStatus = serde_json::from_value(serde_json::json!({"version": "0.1.0", "protocol": 1,
            "pid": 7, "started": "2026-01-02T12:00:00Z", "socket": "/s", "started_after_boot": 100}))
        .unwrap();
        // The clock was set forward by a day after the start.
        let now = "2026-01-03T12:05:00Z".parse().unwrap();
        let started_at = |daemon: &DaemonStatus, since_boot| started(daemon, now, Duration::from_secs(since_boot));
        assert_eq!(started_at(&daemon, 400), "2026-01-03T12:00:00Z".parse().unwrap());
        assert_eq!(started_at(&daemon, 99), daemon.started, "another machine's boot");
        daemon.started_after_boot = None;
        assert_eq!(started_at(&daemon, 400), daemon.started);
    }
}
