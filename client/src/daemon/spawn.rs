//! Starts the daemon.
//!
//! The daemon moves to the background and prints one line on its standard output: `ready`, `already running`, or
//! `error: …`. If several clients start daemons at the same time, one daemon gets the lock and the others print
//! `already running`. All clients then connect to the first.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rolecall_protocol::location::LocationError;
use rolecall_protocol::{ConfigStatus, StartupLine, location};

use crate::clock::Deadline;
use crate::config_file;
use crate::environment::{Environment, is_executable};
use crate::error::{CliError, Exit};
use crate::output;

/// The daemon's program.
const PROGRAM: &str = "rolecalld";
/// The longest first line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// The longest status of a configuration that is read, in bytes: it has a line for each included file.
const MAX_STATUS_BYTES: usize = 256 * 1024;

/// Why the daemon could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The program was not found.
    #[error("cannot find rolecalld beside rolecall{} or on PATH", beside_text(.0.as_deref()))]
    NotInstalled(Option<PathBuf>),
    /// The program cannot be executed.
    #[error("cannot run {}: {cause}", program.display())]
    CannotRun {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// The daemon could not find its files.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The daemon cannot create its socket.
    #[error("the agent cannot start: {0}")]
    NoSocket(String),
    /// The daemon printed an error.
    #[error("the agent cannot start: {0}")]
    StartFailed(String),
    /// The daemon exited without output.
    #[error("the agent exited right after it was started")]
    ExitedSilently,
    /// The daemon runs but did not get ready in time.
    #[error("the agent was started but is not ready after {} s", .0.as_secs())]
    NotReady(std::time::Duration),
}

fn beside_text(folder: Option<&Path>) -> String {
    folder.map(|folder| format!(" (in {})", folder.display())).unwrap_or_default()
}

impl From<SpawnError> for CliError {
    fn from(error: SpawnError) -> Self {
        let hint = match error {
            SpawnError::Location(error) => return error.into(),
            SpawnError::NotInstalled(_) => {
                "Install both programs into one folder, as install/install.sh does".to_owned()
            }
            SpawnError::CannotRun { .. } => "Install rolecall again, as install/install.sh does".to_owned(),
            SpawnError::NoSocket(_) => {
                "Make room or fix the permissions there, or set XDG_RUNTIME_DIR to another folder of your own"
                    .to_owned()
            }
            SpawnError::StartFailed(_) | SpawnError::ExitedSilently | SpawnError::NotReady(_) => match log_file() {
                Some(log) => format!("Read its log: {}", log.display()),
                None => "Run it in the foreground to see more: rolecalld".to_owned(),
            },
        };
        Self::new(Exit::Unreachable, error.to_string(), hint)
    }
}

/// The log file of a daemon that this client starts; `None` without a home folder.
pub(crate) fn log_file() -> Option<PathBuf> {
    location::state_folder().ok().map(|folder| folder.join("daemon.log"))
}

/// Starts the daemon and waits until it, or a daemon of another client, has the socket.
pub(crate) fn spawn_daemon(socket: &Path, environment: &Environment, deadline: Deadline) -> Result<(), SpawnError> {
    location::home()?;
    let mut arguments: Vec<OsString> = vec!["--detached".into(), "--socket".into(), socket.into()];
    if let Some(log) = log_file() {
        arguments.extend(["--log-file".into(), log.into()]);
    }
    let program = find_daemon(environment)?;
    output::print_detail(|| format!("starting {}", program.display()));
    let (ours, theirs) = output_channel(&program)?;
    let mut command = daemon_command(&program, environment);
    command.args(arguments).stdout(theirs).stderr(Stdio::null());
    command.spawn().map_err(|cause| SpawnError::CannotRun { program, cause })?;
    drop(command); // it holds our copy of the daemon's end, and we want to see that end close
    parse_first_line(&read_first_line(ours, deadline)?)
}

/// Checks the configuration of this environment in a process of its own, which serves nothing. An error that the program reports is
/// already on standard error.
pub(crate) fn check_config(environment: &Environment, deadline: Deadline) -> Result<ConfigStatus, CliError> {
    let program = find_daemon(environment)?;
    let (ours, theirs) = output_channel(&program)?;
    let mut command = daemon_command(&program, environment);
    command.args(["--once", "config", "check"]).stdout(theirs);
    let mut child = command.spawn().map_err(|cause| SpawnError::CannotRun { program, cause })?;
    drop(command); // it holds our copy of the program's end
    let line = read_line(ours, deadline, MAX_STATUS_BYTES);
    if line.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait();
    match serde_json::from_str(&line?) {
        Ok(status) => Ok(status),
        Err(_) if ended.is_ok_and(|status| !status.success()) => Err(CliError::silent(Exit::Failed as u8)),
        Err(_) => Err(SpawnError::ExitedSilently.into()),
    }
}

/// The command that runs the daemon's program: with its own environment, in the folder `/`, without input.
pub(crate) fn daemon_command(program: &Path, environment: &Environment) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(environment.for_daemon(&passed_variables())).stdin(Stdio::null()).current_dir("/");
    command
}

/// The variables that the configuration passes to programs (`pass` in `[environment]`). None if it cannot be read: the daemon
/// reports why.
fn passed_variables() -> Vec<String> {
    let config = location::config().ok().and_then(|path| config_file::ConfigFile::load(&path).ok());
    config.map(|config| config.passed_variables()).unwrap_or_default()
}

/// Finds the daemon's program: in the folder of this program, otherwise on `PATH`.
pub(crate) fn find_daemon(environment: &Environment) -> Result<PathBuf, SpawnError> {
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().map(|own| own.canonicalize().unwrap_or_else(|_| own.to_owned()));
    let folder = folder.as_deref().and_then(Path::parent);
    folder
        .map(|folder| folder.join(PROGRAM))
        .filter(|path| is_executable(path))
        .or_else(|| environment.find_program(PROGRAM))
        .ok_or_else(|| SpawnError::NotInstalled(folder.map(Path::to_owned)))
}

/// Creates a channel: this process's end, and the end for a child's standard output. It is a socket, because std has
/// read timeouts for sockets and not for pipes.
pub(crate) fn output_channel(program: &Path) -> Result<(UnixStream, Stdio), SpawnError> {
    let (ours, theirs) =
        UnixStream::pair().map_err(|cause| SpawnError::CannotRun { program: program.to_owned(), cause })?;
    Ok((ours, Stdio::from(OwnedFd::from(theirs))))
}

/// Reads the daemon's first line, without its end. Empty if the daemon exited without output.
pub(crate) fn read_first_line(stream: UnixStream, deadline: Deadline) -> Result<String, SpawnError> {
    read_line(stream, deadline, MAX_LINE_BYTES)
}

fn read_line(mut stream: UnixStream, deadline: Deadline, max_bytes: usize) -> Result<String, SpawnError> {
    let slow = SpawnError::NotReady(deadline.limit());
    let mut line = Vec::new();
    let mut chunk = [0; 512];
    while !line.contains(&b'\n') && line.len() < max_bytes {
        let Some(left) = deadline.remaining() else { return Err(slow) };
        if stream.set_read_timeout(Some(left)).is_err() {
            return Err(SpawnError::ExitedSilently);
        }
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(slow);
            }
            Err(_) => break,
        }
    }
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    line.truncate(end);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn parse_first_line(line: &str) -> Result<(), SpawnError> {
    match StartupLine::parse(line) {
        Some(StartupLine::Ready | StartupLine::AlreadyRunning) => Ok(()),
        Some(StartupLine::NoSocket(cause)) => Err(SpawnError::NoSocket(cause)),
        Some(StartupLine::Failed(cause)) => Err(SpawnError::StartFailed(cause)),
        None => Err(SpawnError::ExitedSilently),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    fn after(said: &[u8]) -> Result<(), SpawnError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said).unwrap();
        drop(theirs);
        read_first_line(ours, Deadline::after(Duration::from_secs(5))).and_then(|line| parse_first_line(&line))
    }

    #[test]
    fn spawn_first_line_decides() {
        assert!(after(b"ready\n").is_ok());
        assert!(after(b"already running\nmore\n").is_ok());
        assert!(matches!(after(b""), Err(SpawnError::ExitedSilently)));
        assert!(matches!(after(b"\n"), Err(SpawnError::ExitedSilently)));
        let said = |bytes: &[u8]| CliError::from(after(bytes).unwrap_err()).to_string();
        assert!(said(b"error: config.toml:3: no such key\n").starts_with("the agent cannot start: config.toml:3"));
        // A hostile or broken program: its text is limited to one line without control characters.
        let noise = said(&vec![0x1b; 100_000]);
        assert!(noise.len() < 2048 && !noise.contains('\u{1b}'), "{noise}");
    }

    #[test]
    fn spawn_silent_daemon_times_out() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let result = read_first_line(ours, Deadline::after(Duration::from_millis(20)));
        assert!(matches!(result, Err(SpawnError::NotReady(_))));
    }
}
