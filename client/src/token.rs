//! `rolecall token NAME`, which kubectl runs: passes the daemon's response to kubectl.
//!
//! It parses nothing, opens no file except the socket, and writes to standard output only a complete response. Every
//! kubectl waits for this code, so it has to be fast.
//!
//! A kubeconfig chooses the environment. `ROLECALL_CONFIG` is therefore ignored, and the daemon at `ROLECALL_SOCKET` is
//! used only if it has a configuration that the user trusts ([`trusted_config`]).

mod login_prompt;
mod trusted_config;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use rolecall_protocol::location::{self, FolderProblem, LocationError};
use rolecall_protocol::{ENTRY_KEY_VARIABLE, EXEC_INFO_VARIABLE, Endpoint, EntryProof, ErrorCode, ProfileName};

use crate::clock::Deadline;
use crate::daemon::spawn::{self, SpawnError};
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon, IfAbsent, Response, confirmation};
use crate::environment::Environment;
use crate::error::{CliError, Exit};
use crate::output;

/// The size limit of the output of a daemon that runs for one call, in bytes.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// The hint for a script, which has no kubeconfig entry that sets the key.
const SCRIPT_HINT: &str = "In a script, set ROLECALL_ENTRY_KEY; see WHO GETS A TOKEN in: man rolecall";

/// Prints the token for kubectl. Returns the exit code.
pub(crate) fn run(name: &OsStr, read_environment: fn() -> Environment) -> u8 {
    // One deadline for all steps: kubectl has none, and holds a lock while its plugin runs.
    let deadline = Deadline::after(CALL_TIMEOUT);
    match write_token(name, read_environment, deadline) {
        Ok(()) => 0,
        Err(error) => {
            output::print_error(&error);
            error.code()
        }
    }
}

fn write_token(name: &OsStr, read_environment: fn() -> Environment, deadline: Deadline) -> Result<(), CliError> {
    let name: ProfileName = name.to_string_lossy().parse().map_err(|error| {
        CliError::new(Exit::Usage, format!("{error}"), "Name one of the profiles that this lists: rolecall list")
    })?;
    let info = location::exec_info().unwrap_or_default();
    let most = Endpoint::Token(name.clone()).max_body_bytes();
    if info.len() > most {
        return Err(CliError::failed(
            format!("{name}: {EXEC_INFO_VARIABLE} has {} bytes, more than {most}", info.len()),
            "Let kubectl set it, with a context written by: rolecall kubeconfig",
        ));
    }
    let proof = entry_proof();
    let daemon = match Daemon::find(IfAbsent::StartWithOwnConfig(read_environment)) {
        Ok(daemon) => daemon,
        Err(CallError::Location(LocationError::NoRuntimeFolder(rejected))) => {
            let why = location::join_problems(&rejected);
            return write_token_without_daemon(&name, &why, &proof, read_environment(), deadline);
        }
        Err(error) => return Err(CliError::from(error).with_subject(name)),
    };
    if location::names_socket() {
        trusted_config::check(&daemon, deadline).map_err(|error| error.with_subject(&name))?;
    }
    let call = |deadline| {
        confirmation::call(&name, |limit| daemon.call_token(&name, info.as_bytes(), &proof, limit), deadline)
    };
    match call(deadline) {
        Ok(answer) => print_answer(&name, &answer),
        // A full or read-only folder: kubectl works without the socket, only slower.
        Err(CallError::Start(error @ SpawnError::NoSocket(_))) => {
            write_token_without_daemon(&name, &error.to_string(), &proof, read_environment(), deadline)
        }
        Err(CallError::Start(error @ (SpawnError::StartFailed(_) | SpawnError::ExitedSilently)))
            if !socket_folder_exists(&daemon) =>
        {
            write_token_without_daemon(&name, &error.to_string(), &proof, read_environment(), deadline)
        }
        Err(CallError::Rejected(body)) if body.code == ErrorCode::LoginNeeded => {
            login_prompt::offer_login(&daemon, &name, info.as_bytes(), call, body, read_environment)
                .and_then(|answer| print_answer(&name, &answer))
        }
        // kubectl always sets the variable.
        Err(CallError::Rejected(body))
            if body.code == ErrorCode::EntryKeyMismatch && location::exec_info().is_none() =>
        {
            Err(CliError::from(body).with_hint(SCRIPT_HINT))
        }
        Err(error) => Err(error.with_subject(&name)),
    }
}

/// What shows that the call is the user's own. A terminal is looked for only without a key, which saves kubectl a system
/// call.
fn entry_proof() -> EntryProof {
    match location::entry_key() {
        Some(key) => EntryProof::Key(key),
        None if stdout_is_terminal() => EntryProof::Terminal,
        None => EntryProof::Absent,
    }
}

/// Whether standard output is a terminal. Spares kubectl the buffer of `std::io::stdout`.
fn stdout_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdout())
}

/// Writes the daemon's response for kubectl, and then says if the cluster rejects the profile: kubectl itself prints only that
/// the user must be logged in.
fn print_answer(name: &ProfileName, answer: &Response) -> Result<(), CliError> {
    print_credential(answer.body())?;
    if let Some(identity) = answer.rejected() {
        output::print_note(&format!("{name}: {}. Run: rolecall doctor {name}", identity.problem()));
    }
    Ok(())
}

/// Writes the credential to standard output unchanged. On a terminal, where a user reads it, ends the line and says what
/// it is.
fn print_credential(credential: &[u8]) -> Result<(), CliError> {
    output::stdout_bytes(credential)?;
    if stdout_is_terminal() {
        output::stdout_bytes(b"\n")?;
        output::print_note("this is a secret: it gives access to the cluster until it expires");
    }
    Ok(())
}

/// Whether the socket's folder exists. If it does not exist after a daemon has tried to start, it cannot be created,
/// for example in a read-only home folder.
fn socket_folder_exists(daemon: &Daemon) -> bool {
    !matches!(
        daemon.socket().parent().map(location::check_private_folder),
        Some(Err(FolderProblem::Io(error))) if error.kind() != io::ErrorKind::PermissionDenied
    )
}

/// Runs a daemon for this one call, which writes the token to its standard output. Used if no folder can have a socket.
/// This is slow, because each call creates a session, so a note is printed.
fn write_token_without_daemon(
    name: &ProfileName,
    why: &str,
    proof: &EntryProof,
    environment: Environment,
    deadline: Deadline,
) -> Result<(), CliError> {
    let environment = &environment.of_plugin();
    output::print_note(&format!("no usable runtime folder ({why}); answering without the daemon"));
    let about = |error: SpawnError| CliError::from(error).with_subject(name);
    let program = spawn::find_daemon(environment).map_err(about)?;
    let (ours, theirs) = spawn::output_channel(&program).map_err(about)?;
    let mut command = spawn::daemon_command(&program, environment);
    command.args(["--once", "token", name.as_str()]).stdout(theirs);
    if let Some(info) = location::exec_info() {
        command.env(EXEC_INFO_VARIABLE, info);
    }
    match proof {
        EntryProof::Key(key) => {
            command.env(ENTRY_KEY_VARIABLE, key.to_text().expose());
        }
        EntryProof::Terminal => {
            command.arg("--to-terminal");
        }
        EntryProof::Absent => {}
    }
    let mut child =
        command.spawn().map_err(|cause| about(SpawnError::CannotRun { program: program.clone(), cause }))?;
    drop(command); // closes the parent's copy of the channel
    let said = read_all(ours, deadline);
    match (said, deadline.wait_for(&mut child).ok().flatten()) {
        (Ok(answer), Some(status)) if status.success() => print_credential(&answer),
        // The daemon has printed the error on standard error, which this process shares.
        (_, Some(status)) if status.code().is_some_and(|code| code != 0) => {
            Err(CliError::silent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Bug as u8)))
        }
        (_, status) => {
            let cause = status
                .map_or_else(|| format!("within {} s", deadline.limit().as_secs()), |status| format!("({status})"));
            Err(CliError::new(
                Exit::Unreachable,
                format!("{name}: rolecalld did not answer {cause}"),
                "Set XDG_RUNTIME_DIR to a folder of your own with mode 700, so that it can stay",
            ))
        }
    }
}

/// Reads the whole output of a child process, up to [`MAX_OUTPUT_BYTES`] and the deadline.
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
        if said.len() > MAX_OUTPUT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}
