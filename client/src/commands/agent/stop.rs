//! `rolecall agent stop`: first a call, then SIGTERM, then SIGKILL.

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::{Endpoint, Stopping};
use rolecall_trusted_file::shell_quoted;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::http::Response;
use crate::daemon::{CallError, Daemon};
use crate::error::{CliError, Exit};
use crate::output;

/// How long the daemon may take to respond to the stop call.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may take to end. Its own limit for open requests is 5 s; the rest is for a busy machine.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel may take to kill it.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Stops the daemon and waits until it is gone.
pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let daemon = context.running_daemon()?;
    let pid = match daemon.listener_pid() {
        Ok(pid) => pid,
        Err(CallError::NotRunning) => {
            return output::print("the agent is not running\n");
        }
        // These errors have their own hint; there is no daemon to stop.
        Err(error @ (CallError::Location(_) | CallError::UntrustedSocket { .. })) => return Err(error.into()),
        Err(error) => return Err(stop_failed(&error, &daemon, None)),
    };
    let how = match daemon.call(&Endpoint::Stop, b"", Deadline::after(STOP_TIMEOUT)) {
        // A service manager listens, or may listen where the system does not report it (macOS, another PID namespace): a connection
        // would start the daemon again.
        Ok(answer) if stopping_pid(&answer) != pid => return wait_until_ended(&answer, pid, &daemon, context),
        Ok(_) | Err(CallError::NotRunning) => "has stopped",
        // It does not answer, or speaks another protocol.
        Err(error) => {
            signal(pid, Signal::TERM).ok_or_else(|| stop_failed(&error, &daemon, pid))?;
            "stopped by a signal"
        }
    };
    let how = if wait_until_gone(&daemon, pid, EXIT_TIMEOUT) {
        how
    } else {
        let error = CallError::NoResponse(EXIT_TIMEOUT);
        signal(pid, Signal::KILL).ok_or_else(|| stop_failed(&error, &daemon, pid))?;
        if !wait_until_gone(&daemon, pid, KILL_TIMEOUT) {
            return Err(stop_failed(&error, &daemon, pid));
        }
        "did not react and was killed"
    };
    let pid = pid.map(|pid| format!(" (pid {})", pid.as_raw_nonzero())).unwrap_or_default();
    context.print_done(&format!("the agent {how}{pid}"))
}

/// The process in the daemon's response to the stop call.
fn stopping_pid(answer: &Response) -> Option<Pid> {
    let stopping: Stopping = serde_json::from_slice(answer.body()).ok()?;
    Pid::from_raw(i32::try_from(stopping.pid).ok()?)
}

/// Waits until the daemon has removed its socket or its process has ended. Does not connect, since a service manager would start the
/// next one.
fn wait_until_ended(
    answer: &Response,
    listener: Option<Pid>,
    daemon: &Daemon,
    context: &Context,
) -> Result<(), CliError> {
    let Some(pid) = stopping_pid(answer) else {
        let error = CallError::InvalidResponse("it did not say which process will stop".to_owned());
        return Err(error.into());
    };
    // Linux reports every listener of this PID namespace, and in another one the daemon's id means another process here.
    let process = Some(pid).filter(|_| listener.is_some() || !cfg!(target_os = "linux"));
    let has_ended = || !daemon.socket().exists() || process.is_some_and(|pid| test_kill_process(pid).is_err());
    let deadline = Deadline::after(EXIT_TIMEOUT);
    while !has_ended() {
        if !deadline.sleep(Duration::from_millis(10)) {
            let (error, hint) = (CallError::NoResponse(EXIT_TIMEOUT), kill_hint(daemon.socket(), process));
            return Err(CliError::new(Exit::Unreachable, error.to_string(), hint));
        }
    }
    // A daemon removes its own socket.
    let note = if daemon.socket().exists() {
        "; the service manager keeps its socket and starts it when it is needed"
    } else {
        ""
    };
    context.print_done(&format!("the agent has stopped (pid {}){note}", pid.as_raw_nonzero()))
}

/// Sends a signal to the listener if it is the daemon. With socket activation, the listener can be the service manager.
fn signal(pid: Option<Pid>, signal: Signal) -> Option<()> {
    kill_process(pid.filter(|pid| is_daemon(*pid))?, signal).ok()
}

fn is_daemon(pid: Pid) -> bool {
    let name = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("comm");
    std::fs::read_to_string(name).is_ok_and(|name| name.trim_end() == "rolecalld")
}

/// Waits until no process listens and the daemon has cleaned up: it closes the socket first and removes its file last.
/// A killed daemon leaves the file.
fn wait_until_gone(daemon: &Daemon, pid: Option<Pid>, limit: Duration) -> bool {
    let deadline = Deadline::after(limit);
    loop {
        let is_silent = matches!(daemon.listener_pid(), Err(CallError::NotRunning));
        let has_ended = || !daemon.socket().exists() || pid.is_none_or(|pid| test_kill_process(pid).is_err());
        if is_silent && has_ended() {
            return true;
        }
        if !deadline.sleep(Duration::from_millis(10)) {
            return is_silent;
        }
    }
}

/// The error with the command that kills this daemon. Other daemons may serve other sockets or users.
fn stop_failed(error: &CallError, daemon: &Daemon, pid: Option<Pid>) -> CliError {
    let hint = kill_hint(daemon.socket(), pid.filter(|pid| is_daemon(*pid)));
    CliError::new(Exit::Unreachable, error.to_string(), hint)
}

fn kill_hint(socket: &Path, daemon: Option<Pid>) -> String {
    match daemon {
        Some(pid) => format!("End it by hand: kill -KILL {}", pid.as_raw_nonzero()),
        None => format!(
            "Look for the process that listens there, with: lsof -t {}  and if it is rolecalld, end it: kill -KILL PID",
            shell_quoted(socket)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_hint_names_only_this_daemon() {
        let (socket, own) = (Path::new("/run/user/7/rolecall/agent.sock"), rustix::process::getpid());
        assert_eq!(kill_hint(socket, Some(own)), format!("End it by hand: kill -KILL {}", own.as_raw_nonzero()));
        assert!(kill_hint(socket, None).contains("lsof -t /run/user/7/rolecall/agent.sock "));
        // With socket activation the listener is the service manager, whose death would end the whole session.
        assert!(!is_daemon(own));
    }
}
