//! `rolecall agent start`.

use rolecall_protocol::{Endpoint, Status, sanitize_for_terminal};

use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::CALL_TIMEOUT;
use crate::error::CliError;

/// Starts the daemon unless it runs, and prints which process it is; `suffix` ends the line.
pub(super) fn run(context: &Context, suffix: &str) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let started = daemon.ensure(Deadline::after(CALL_TIMEOUT))?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let verb = if started { "started" } else { "is running already" };
    let socket = sanitize_for_terminal(&status.daemon.socket);
    context.print_done(&format!("the agent {verb} (pid {}, {socket}){suffix}", status.daemon.pid))
}
