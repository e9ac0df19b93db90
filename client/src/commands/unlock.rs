//! `rolecall unlock`: the agent serves again.

use rolecall_protocol::{Endpoint, ErrorCode, LockStatus, Status, UnlockRequest};

use super::lock::{call, note_problem};
use crate::cli::Unlock;
use crate::daemon::{CallError, Daemon, IfAbsent};
use crate::error::CliError;
use crate::output;
use crate::run::Context;
use crate::terminal::passphrase::{Passphrases, TRIES};

/// Asks for the passphrase, and unlocks with it.
pub(crate) fn run(wanted: &Unlock, context: &Context) -> Result<(), CliError> {
    let daemon = Daemon::find(IfAbsent::Start)?;
    let before = daemon.call_json::<Status>(&Endpoint::Status, b"")?.daemon.lock;
    if !before.locked {
        return output::print("the agent is not locked\n");
    }
    let after = if before.has_passphrase {
        let passphrases = Passphrases::find(wanted.stdin, "Run it in a terminal, or with --stdin")?;
        ask(&daemon, passphrases)?
    } else {
        // Nothing to check one against: what it is kept in was damaged, and may have been removed.
        unlock(&daemon, UnlockRequest { passphrase: String::new().into() })?
    };
    output::print(&format!("{} unlocked; sessions are got as they are needed\n", context.screen.tick()))?;
    note_problem(&after);
    Ok(())
}

/// A person may mistype; a script may not.
fn ask(daemon: &Daemon, mut passphrases: Passphrases) -> Result<LockStatus, CliError> {
    let tries = if passphrases.is_a_person() { TRIES } else { 1 };
    let mut failures = 0;
    loop {
        let passphrase = passphrases.ask("Passphrase: ")?;
        match unlock(daemon, UnlockRequest { passphrase }) {
            Err(CallError::Rejected(said)) if said.code == ErrorCode::WrongPassphrase && failures + 1 < tries => {
                output::print_note(&said.message);
                failures += 1;
            }
            unlocked => return Ok(unlocked?),
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // it is wiped here
fn unlock(daemon: &Daemon, request: UnlockRequest) -> Result<LockStatus, CallError> {
    call(daemon, &Endpoint::Unlock, &request)
}
