//! `rolecall token NAME`: what kubectl runs. A pipe between kubectl and the daemon.
//!
//! Nothing is parsed on the way in or out, no file is touched but the socket, and standard output stays empty unless the
//! whole answer is there. Every microsecond here is paid by every kubectl: see the numbers in DESIGN.md, section 9.

mod offer;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem, LocationError};
use rolecall_protocol::{EXEC_INFO_VARIABLE, Endpoint, ErrorCode, ProfileName};

use crate::agent::{Agent, CALL, CallError, IfAbsent};
use crate::clock::Deadline;
use crate::output;
use crate::report::{CliError, Exit};
use crate::start::{self, StartError};

/// The largest answer of a daemon that is run for this one call, in bytes.
const MAX_ONCE: usize = 1024 * 1024;

/// Answers kubectl. Returns the exit code.
pub(crate) fn run(name: &OsStr) -> u8 {
    // From here on for everything: kubectl has no deadline of its own and holds a lock while we run.
    let deadline = Deadline::after(CALL);
    match answer(name, deadline) {
        Ok(()) => 0,
        Err(error) => {
            output::error(&error);
            error.code()
        }
    }
}

fn answer(name: &OsStr, deadline: Deadline) -> Result<(), CliError> {
    let name: ProfileName = name.to_string_lossy().parse().map_err(|error| {
        CliError::new(Exit::Usage, format!("{error}"), "Name one of the profiles that this lists: rolecall list")
    })?;
    let info = location::exec_info().unwrap_or_default();
    let endpoint = Endpoint::Token(name.clone());
    let most = endpoint.max_body();
    if info.len() > most {
        return Err(CliError::failed(
            format!("{name}: {EXEC_INFO_VARIABLE} has {} bytes, and {most} are possible", info.len()),
            "Have kubectl set it, by a context that this writes: rolecall kubeconfig",
        ));
    }
    let agent = match Agent::find(IfAbsent::Start) {
        Ok(agent) => agent,
        Err(CallError::Location(LocationError::NoRuntimeFolder(refused))) => {
            return once(&name, &location::refusals(&refused), deadline);
        }
        Err(error) => return Err(CliError::from(error).about(name)),
    };
    match agent.call(&endpoint, info.as_bytes(), deadline) {
        Ok(answer) => output::raw(answer.body()),
        Err(CallError::Start(error @ (StartError::Refused(_) | StartError::Died))) if !has_folder(&agent) => {
            once(&name, &error.to_string(), deadline)
        }
        Err(CallError::Said(body)) if body.code == ErrorCode::LoginNeeded => {
            offer::answer(&agent, &name, info.as_bytes(), body).and_then(|answer| output::raw(answer.body()))
        }
        Err(error) => Err(told(error, &name)),
    }
}

/// The daemon's own words name the profile already, but for those that it says before it has read what it is asked.
fn told(error: CallError, name: &ProfileName) -> CliError {
    match error {
        CallError::Said(body) if body.code != ErrorCode::Unavailable => body.into(),
        error => CliError::from(error).about(name),
    }
}

/// Whether the socket's folder exists. Where it does not after a daemon has tried to start, it could not be made: a
/// read-only home, say.
fn has_folder(agent: &Agent) -> bool {
    !matches!(
        agent.socket().parent().map(location::private_folder),
        Some(Err(FolderProblem::Io(error))) if error.kind() != io::ErrorKind::PermissionDenied
    )
}

/// Without a place for a socket: a daemon for this one call, which answers on its standard output. Slow (it has no
/// session to share), so it is said.
fn once(name: &ProfileName, why: &str, deadline: Deadline) -> Result<(), CliError> {
    output::note(&format!("no usable runtime folder ({why}); answering without the daemon"));
    let environment = crate::environment();
    let about = |error: StartError| CliError::from(error).about(name);
    let program = start::find_daemon(&environment).map_err(about)?;
    let (ours, theirs) = start::pair(&program).map_err(about)?;
    let mut command = start::daemon(&program, &environment);
    command.args(["--once", "token", name.as_str()]).stdout(theirs);
    if let Some(info) = location::exec_info() {
        command.env(EXEC_INFO_VARIABLE, info);
    }
    let mut child = command.spawn().map_err(|cause| about(StartError::Spawn { program: program.clone(), cause }))?;
    drop(command); // it holds our copy of the child's end
    let said = read_all(ours, deadline);
    match (said, wait(&mut child, deadline)) {
        (Ok(answer), Some(status)) if status.success() => output::raw(&answer),
        // It has said on standard error, which is ours too, what was wrong.
        (_, Some(status)) if status.code().is_some_and(|code| code != 0) => {
            Err(CliError::silent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Bug as u8)))
        }
        (_, Some(status)) => Err(CliError::new(
            Exit::Unreachable,
            format!("{name}: rolecalld did not answer ({status})"),
            "Set XDG_RUNTIME_DIR to a folder of your own with mode 700, so that it can stay",
        )),
        (_, None) => Err(CliError::new(
            Exit::Unreachable,
            format!("{name}: rolecalld did not answer within {} s", deadline.limit().as_secs()),
            "Set XDG_RUNTIME_DIR to a folder of your own with mode 700, so that it can stay",
        )),
    }
}

/// Everything that a child says, up to a bound and the deadline.
fn read_all(mut stream: std::os::unix::net::UnixStream, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let left = deadline.remaining().ok_or(io::ErrorKind::TimedOut)?;
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(said),
            Ok(count) => said.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if said.len() > MAX_ONCE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// Waits for a child that has closed its output and so is about to end; one that does not is ended at the deadline.
fn wait(child: &mut Child, deadline: Deadline) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if !deadline.sleep(Duration::from_millis(2)) {
            // It is our own child, so this cannot hit anybody else; if it is gone already, so much the better.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::ErrorBody;

    use super::*;

    #[test]
    fn every_message_names_the_profile_once() {
        let name: ProfileName = "prod".parse().unwrap();
        let said = |code, message| told(CallError::Said(ErrorBody::new(code, message)), &name).to_string();
        assert_eq!(said(ErrorCode::Unavailable, "too many callers"), "prod: too many callers");
        assert_eq!(said(ErrorCode::AccessDenied, "prod: AWS says no"), "prod: AWS says no");
        assert!(told(CallError::NotRunning, &name).to_string().starts_with("prod: the agent is not running"));
    }
}
