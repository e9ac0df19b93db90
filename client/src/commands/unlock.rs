//! `rolecall unlock`: unlocks the agent.

use rolecall_protocol::{Endpoint, ErrorCode, LockStatus, Status, UnlockRequest};

use crate::cli::Unlock;
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::error::CliError;
use crate::output;
use crate::terminal::passphrase::{MAX_ATTEMPTS, Passphrases};

/// Asks for the passphrase, and unlocks the agent.
pub(crate) fn run(wanted: &Unlock, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let before = daemon.call_json::<Status>(&Endpoint::Status, b"")?.daemon.lock;
    if !before.locked {
        return output::print("the agent is not locked\n");
    }
    let after = if before.has_passphrase {
        let passphrases = Passphrases::find(wanted.stdin)?;
        ask(&daemon, &passphrases)?
    } else {
        // Without a stored passphrase there is nothing to check. Its file was damaged or removed.
        unlock(&daemon, UnlockRequest { passphrase: String::new().into() })?
    };
    context.print_done("unlocked; sessions are assumed when needed")?;
    if let Some(problem) = &after.problem {
        output::print_note(&problem.to_string());
    }
    Ok(())
}

/// Asks until the passphrase is right, at most [`MAX_ATTEMPTS`] times; input from a program is tried once.
fn ask(daemon: &Daemon, passphrases: &Passphrases) -> Result<LockStatus, CliError> {
    let tries = if passphrases.is_interactive() { MAX_ATTEMPTS } else { 1 };
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
    daemon.call_with_secret(&Endpoint::Unlock, &request)
}
