//! A running `rolecalld`.

use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::output::text;
use super::process::ChildProcess;
use super::secret_scan::SecretScanner;

/// The line on stdout by which the daemon says that it listens.
const READY: &[u8] = b"ready\n";

/// A daemon in the foreground. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: ChildProcess,
    command: String,
    scanner: Arc<SecretScanner>,
}

impl Daemon {
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command, scanner: Arc<SecretScanner>) -> Self {
        let line = format!("{command:?}");
        match ChildProcess::spawn(command, None) {
            Ok(process) => Self { process, command: line, scanner },
            Err(error) => panic!("cannot start {line}: {error}"),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for `ready` on stdout. Panics, with what it said instead, if it ends first or `limit` of real time is
    /// over.
    #[track_caller]
    pub fn wait_ready(&self, limit: Duration) {
        let said_ready = |stdout: &[u8]| {
            stdout.starts_with(READY) || stdout.windows(READY.len() + 1).any(|line| line == b"\nready\n")
        };
        self.process.wait_until(limit, |state| said_ready(&state.stdout.bytes) || state.status.is_some());
        let ready = said_ready(&self.process.state().stdout.bytes);
        assert!(ready, "the daemon is not ready within {limit:?}: {}", self.report());
    }

    /// Waits for its first line on stdout, whatever it says. Panics if `limit` of real time is over.
    #[track_caller]
    pub fn wait_stdout_line(&self, limit: Duration) {
        let said = self.process.wait_until(limit, |state| state.stdout.bytes.contains(&b'\n'));
        assert!(said, "the daemon has said nothing within {limit:?}: {}", self.report());
    }

    /// Waits for its end. Panics, with what it said, if that takes longer than `limit` of real time.
    #[track_caller]
    pub fn wait_exit(&self, limit: Duration) -> ExitStatus {
        let ended = self.process.wait_until(limit, |state| state.status.is_some());
        assert!(ended, "the daemon has not ended within {limit:?}: {}", self.report());
        self.process.state().status.expect("it has ended")
    }

    /// Waits until a line of its stderr holds `needle`. Panics, with what it said, if that takes longer than `limit` of
    /// real time.
    #[track_caller]
    pub fn wait_stderr(&self, needle: &str, limit: Duration) {
        let said = self.process.wait_until(limit, |state| text(&state.stderr.bytes).contains(needle));
        assert!(said, "the daemon has not said {needle:?} within {limit:?}: {}", self.report());
    }

    /// Waits until its stdout holds `needle`. Panics, with what it said, if that takes longer than `limit` of real time.
    #[track_caller]
    pub fn wait_stdout(&self, needle: &str, limit: Duration) {
        let said = self.process.wait_until(limit, |state| text(&state.stdout.bytes).contains(needle));
        assert!(said, "it has not said {needle:?} within {limit:?}: {}", self.report());
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.process.state().status.is_none()
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// SIGTERM: as a service manager ends it.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGSTOP: it holds its sockets and does nothing.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Its stdout so far.
    pub fn stdout(&self) -> String {
        text(&self.process.state().stdout.bytes)
    }

    /// Its stderr so far.
    pub fn stderr(&self) -> String {
        text(&self.process.state().stderr.bytes)
    }

    fn report(&self) -> String {
        let status = self.process.state().status;
        format!("{status:?}: {}\n--- stdout\n{}\n--- stderr\n{}\n---", self.command, self.stdout(), self.stderr())
    }
}

/// What it said is looked at by the sandbox, when that is dropped in its turn.
impl Drop for Daemon {
    fn drop(&mut self) {
        for (name, said) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            self.scanner.look(said.as_bytes(), || format!("what a daemon said on {name}"));
        }
    }
}
