//! `rolecall lock`: drops every session and locks the agent. If a passphrase is set, there is no question, so that a hotkey
//! or a screen locker can run it.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, LockRequest, LockStatus, Status};

use crate::cli::Lock;
use crate::clock;
use crate::context::Context;
use crate::error::CliError;
use crate::format_time;
use crate::output;
use crate::terminal::passphrase::Passphrases;

/// Locks the agent, or sets the passphrase.
pub(crate) fn run(wanted: &Lock, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let before = daemon.call_json::<Status>(&Endpoint::Status, b"")?.daemon.lock;
    // The lock file is damaged: a new passphrase cannot be saved, and `unlock` cannot check one.
    if let Some(problem) = before.problem.clone().filter(|_| before.locked && !before.has_passphrase) {
        return Err(problem.into());
    }
    let request = if wanted.passphrase || !before.has_passphrase {
        note_problem(&before);
        ask(wanted, &before)?
    } else {
        LockRequest::default()
    };
    let after: LockStatus = daemon.call_with_secret(&Endpoint::Lock, &request)?;
    if wanted.passphrase {
        let verb = if before.has_passphrase { "changed" } else { "set" };
        context.print_done(&format!("the passphrase was {verb}; lock with it: rolecall lock"))?;
    } else {
        context.print_done(&locked_text(&after, clock::now(), &context.zone))?;
    }
    note_problem(&after);
    Ok(())
}

/// Asks for the passphrases.
fn ask(wanted: &Lock, before: &LockStatus) -> Result<LockRequest, CliError> {
    let passphrases = Passphrases::find(wanted.stdin)?;
    if !before.has_passphrase && passphrases.is_interactive() {
        output::print_note("choose a passphrase; it unlocks the agent, and it is not stored");
    }
    let old = before.has_passphrase.then(|| passphrases.ask("Current passphrase: ")).transpose()?;
    let passphrase = Some(passphrases.ask_new()?);
    Ok(LockRequest { passphrase, old, only_set: wanted.passphrase })
}

/// Prints a problem of the lock.
fn note_problem(status: &LockStatus) {
    if let Some(problem) = &status.problem {
        output::print_note(&problem.to_string());
    }
}

fn locked_text(status: &LockStatus, now: Timestamp, zone: &TimeZone) -> String {
    let since =
        status.since.map(|since| format!(" since {}", format_time::short_time(now, since, zone))).unwrap_or_default();
    format!("locked{since}; no session is left. Unlock it: rolecall unlock")
}
