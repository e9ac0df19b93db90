//! A running `rolecalld`.

use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::output::text;
use super::process::ChildProcess;
use super::secret_scan::SecretScanner;

/// The daemon prints this line on stdout when it listens.
const READY: &[u8] = b"ready\n";

/// A daemon in the foreground. Dropping it kills the process.
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

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the daemon prints `ready` on stdout. Panics with its output if it ends first or after `limit` of
    /// real time.
    #[track_caller]
    pub fn wait_ready(&self, limit: Duration) {
        let is_ready = |stdout: &[u8]| {
            stdout.starts_with(READY) || stdout.windows(READY.len() + 1).any(|line| line == b"\nready\n")
        };
        self.process.wait_until(limit, |state| is_ready(&state.stdout.bytes) || state.status.is_some());
        let ready = is_ready(&self.process.state().stdout.bytes);
        assert!(ready, "the daemon is not ready within {limit:?}: {}", self.report());
    }

    /// Waits for the first line on stdout. Panics after `limit` of real time.
    #[track_caller]
    pub fn wait_stdout_line(&self, limit: Duration) {
        let found = self.process.wait_until(limit, |state| state.stdout.bytes.contains(&b'\n'));
        assert!(found, "no line on stdout within {limit:?}: {}", self.report());
    }

    /// Waits until the daemon ends. Panics with its output after `limit` of real time.
    #[track_caller]
    pub fn wait_exit(&self, limit: Duration) -> ExitStatus {
        let ended = self.process.wait_until(limit, |state| state.status.is_some());
        assert!(ended, "the daemon still runs after {limit:?}: {}", self.report());
        self.process.state().status.expect("it has ended")
    }

    /// Waits until stderr contains `needle`. Panics with the output after `limit` of real time.
    #[track_caller]
    pub fn wait_stderr(&self, needle: &str, limit: Duration) {
        let found = self.process.wait_until(limit, |state| text(&state.stderr.bytes).contains(needle));
        assert!(found, "no {needle:?} on stderr within {limit:?}: {}", self.report());
    }

    /// Waits until stdout contains `needle`. Panics with the output after `limit` of real time.
    #[track_caller]
    pub fn wait_stdout(&self, needle: &str, limit: Duration) {
        let found = self.process.wait_until(limit, |state| text(&state.stdout.bytes).contains(needle));
        assert!(found, "no {needle:?} on stdout within {limit:?}: {}", self.report());
    }

    /// Returns whether the process is running.
    pub fn is_running(&self) -> bool {
        self.process.state().status.is_none()
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends SIGSTOP: the process keeps its sockets and does not run.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Returns stdout so far.
    pub fn stdout(&self) -> String {
        text(&self.process.state().stdout.bytes)
    }

    /// Returns stderr so far.
    pub fn stderr(&self) -> String {
        text(&self.process.state().stderr.bytes)
    }

    fn report(&self) -> String {
        let status = self.process.state().status;
        format!("{status:?}: {}\n--- stdout\n{}\n--- stderr\n{}\n---", self.command, self.stdout(), self.stderr())
    }
}

/// Scans the output for secrets; the sandbox reports them when it is dropped.
impl Drop for Daemon {
    fn drop(&mut self) {
        for (name, output) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            self.scanner.scan(output.as_bytes(), || format!("{name} of a daemon"));
        }
    }
}
