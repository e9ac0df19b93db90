//! `rolecall agent stop`: asked first, and only then made.

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::Endpoint;
use rustix::process::{Pid, Signal, kill_process};

use crate::agent::{Agent, CallError, IfAbsent};
use crate::clock::Deadline;
use crate::output;
use crate::report::{CliError, Exit};
use crate::run::Context;

/// How long the daemon may take to say that it will stop.
const ASK: Duration = Duration::from_secs(3);
/// How long it may take to finish what is under way: its own limit is 5 s.
const FINISH: Duration = Duration::from_secs(6);
/// How long the kernel may take.
const DIE: Duration = Duration::from_secs(2);

/// Stops the daemon and waits until it is gone.
pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let agent = Agent::find(IfAbsent::Fail)?;
    let pid = match agent.listener() {
        Ok(pid) => pid,
        Err(CallError::NotRunning) => {
            return output::print(&format!("{} the agent is not running\n", context.screen.tick()));
        }
        Err(error) => return Err(stuck(&error)),
    };
    let how = match agent.call(&Endpoint::Stop, b"", Deadline::after(ASK)) {
        Ok(_) | Err(CallError::NotRunning) => "stopped",
        // It does not answer, or speaks another protocol: then as the system does it.
        Err(error) => {
            signal(pid, Signal::TERM).ok_or_else(|| stuck(&error))?;
            "stopped by a signal"
        }
    };
    let how = if gone(&agent, FINISH) {
        how
    } else {
        let error = CallError::Silent(FINISH);
        signal(pid, Signal::KILL).ok_or_else(|| stuck(&error))?;
        if !gone(&agent, DIE) {
            return Err(stuck(&error));
        }
        "did not react and was killed"
    };
    let pid = pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
    let verb = if how == "stopped" { "has stopped" } else { how };
    output::print(&format!("{} the agent {verb}{pid}\n", context.screen.tick()))
}

/// Sends a signal to the daemon, if it is one: with socket activation the listener can be the service manager, which
/// must not be hit.
fn signal(pid: Option<Pid>, signal: Signal) -> Option<()> {
    let pid = pid?;
    let name = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("comm");
    let is_ours = std::fs::read_to_string(name).is_ok_and(|name| name.trim_end() == "rolecalld");
    is_ours.then(|| kill_process(pid, signal).ok()).flatten()
}

fn gone(agent: &Agent, limit: Duration) -> bool {
    let deadline = Deadline::after(limit);
    loop {
        if matches!(agent.listener(), Err(CallError::NotRunning)) {
            return true;
        }
        if !deadline.sleep(Duration::from_millis(10)) {
            return false;
        }
    }
}

fn stuck(error: &CallError) -> CliError {
    CliError::new(Exit::Unreachable, error.to_string(), "End it by hand: pkill -KILL -x rolecalld")
}
