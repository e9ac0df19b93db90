//! The output and exit status of a program.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::ChildProcess;

/// How long a pipe may stay open after the program has ended. A pipe that stays open longer is held by a process that
/// the program started, which is a bug in a background daemon.
const PIPE_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often [`within`] calls its probe.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// The exit status.
    pub status: ExitStatus,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
    /// Time from before the start until the exit status was known.
    pub elapsed: Duration,
    /// Whether a process that the program started still held stdout or stderr ten seconds after its end.
    pub pipes_left_open: bool,
}

impl Output {
    /// Returns the exit code, or `None` if a signal ended the program.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics with the whole result unless the program exited with 0.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        assert!(self.status.success(), "expected success, got {self}");
        self
    }

    /// Panics with the whole result unless the program exited with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert!(self.code() == Some(code), "expected exit {code}, got {self}");
        self
    }

    /// Panics unless stdout is empty.
    #[track_caller]
    pub fn assert_stdout_empty(&self) -> &Self {
        assert!(self.stdout.is_empty(), "expected nothing on stdout, got {self}");
        self
    }

    /// Parses stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is not JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ended = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let Self { command, stdout, stderr, elapsed, .. } = self;
        write!(f, "{ended} after {elapsed:?} from: {command}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}

#[track_caller]
#[allow(clippy::disallowed_methods, reason = "the duration of a real process is real time")]
pub(crate) fn run(command: &mut Command, input: Option<Vec<u8>>, limit: Duration) -> Output {
    let line = format!("{command:?}");
    let started = Instant::now();
    let process = match ChildProcess::spawn(command, input) {
        Ok(process) => process,
        Err(error) => panic!("cannot start {line}: {error}"),
    };
    let ended = process.wait_until(limit, |state| state.status.is_some());
    if !ended {
        process.signal(Signal::KILL);
        process.wait_until(PIPE_CLOSE_TIMEOUT, |state| state.status.is_some());
    }
    let elapsed = started.elapsed();
    let closed = process.wait_until(PIPE_CLOSE_TIMEOUT, |state| state.stdout.ended && state.stderr.ended);
    let (stdout, stderr, status) = {
        let state = process.state();
        (text(&state.stdout.bytes), text(&state.stderr.bytes), state.status)
    };
    assert!(ended, "still running after {limit:?}, killed: {line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---");
    let status = status.expect("the program has ended");
    Output { command: line, status, stdout, stderr, elapsed, pipes_left_open: !closed }
}

/// Calls `probe` every 20 ms until it returns a value, for at most `limit` of real time. For conditions that send no
/// notification.
#[allow(clippy::disallowed_methods, reason = "other processes run in real time")]
pub fn within<T>(limit: Duration, probe: impl Fn() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let found = probe();
        if found.is_some() || started.elapsed() >= limit {
            return found;
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
