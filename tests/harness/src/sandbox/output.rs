//! What a program said and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::ChildProcess;

/// How long a pipe may stay open after the program has ended. Longer: somebody that it started still holds it, which is
/// a bug that a test of a background daemon should see.
const PIPES: Duration = Duration::from_secs(2);

/// A program's whole life.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    /// From before it was started to after it was reaped.
    pub elapsed: Duration,
    /// It had ended, and two seconds later something that it had started still held its stdout or stderr.
    pub pipes_left_open: bool,
}

impl Output {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics, with everything that is known, unless it ended well.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        assert!(self.status.success(), "expected success, got {self}");
        self
    }

    /// Panics, with everything that is known, unless it ended with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert!(self.code() == Some(code), "expected exit {code}, got {self}");
        self
    }

    /// Panics unless stdout is empty, as it must be on failure.
    #[track_caller]
    pub fn assert_stdout_empty(&self) -> &Self {
        assert!(self.stdout.is_empty(), "expected nothing on stdout, got {self}");
        self
    }

    /// stdout as JSON.
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
#[allow(clippy::disallowed_methods, reason = "how long a real process takes is real time")]
pub(crate) fn run(command: &mut Command, input: Option<Vec<u8>>, limit: Duration) -> Output {
    let line = format!("{command:?}");
    let begun = Instant::now();
    let process = match ChildProcess::spawn(command, input) {
        Ok(process) => process,
        Err(error) => panic!("cannot start {line}: {error}"),
    };
    let ended = process.wait_until(limit, |state| state.status.is_some());
    if !ended {
        process.signal(Signal::KILL);
        process.wait_until(PIPES, |state| state.status.is_some());
    }
    let elapsed = begun.elapsed();
    let closed = process.wait_until(PIPES, |state| state.stdout.ended && state.stderr.ended);
    let (stdout, stderr, status) = {
        let state = process.state();
        (text(&state.stdout.bytes), text(&state.stderr.bytes), state.status)
    };
    assert!(ended, "no end after {limit:?}, killed: {line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---");
    let status = status.expect("it has ended");
    Output { command: line, status, stdout, stderr, elapsed, pipes_left_open: !closed }
}

/// Looks again and again, for at most `limit` of real time, until there is something; for what tells nobody that it has
/// come about.
#[allow(clippy::disallowed_methods, reason = "what other processes do takes real time")]
pub fn within<T>(limit: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() >= limit {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
