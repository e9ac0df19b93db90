//! A child process whose output and end can be waited for without polling.

use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::signals;

/// A child process with captured stdout and stderr.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    pid: Pid,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<ProcessState>,
    changed: Condvar,
}

/// The output and status of the child so far.
#[derive(Debug, Default)]
pub(crate) struct ProcessState {
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    /// Set when the child is reaped: while it is `None`, the pid belongs to the child.
    pub(crate) status: Option<ExitStatus>,
}

/// The content of a pipe.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    /// No process holds the other end, grandchildren included.
    pub(crate) ended: bool,
}

impl ChildProcess {
    pub(crate) fn spawn(command: &mut Command, input: Option<Vec<u8>>) -> io::Result<Self> {
        signals::reset_in_children();
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) =
            (child.stdout.take().expect("stdio is piped"), child.stderr.take().expect("stdio is piped"));
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A child may end without reading its stdin.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let process = Self::watch(child, stdout);
        read(&process.shared, stderr, |state| &mut state.stderr);
        Ok(process)
    }

    /// Watches a child that was started already, and its stdout.
    pub(crate) fn watch(child: Child, stdout: impl Read + AsFd + Send + 'static) -> Self {
        let pid = Pid::from_child(&child);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        read(&shared, stdout, |state| &mut state.stdout);
        reap(&shared, child, pid);
        Self { pid, shared }
    }

    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.pid.as_raw_nonzero().get()).expect("a pid is positive")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ProcessState> {
        self.shared.state()
    }

    /// Waits until `done` holds, for at most `limit`. Returns whether it holds.
    pub(crate) fn wait_until(&self, limit: Duration, done: impl Fn(&ProcessState) -> bool) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.state(), limit, |state| !done(state));
        let (state, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&state)
    }

    /// Sends a signal unless the child has been reaped.
    pub(crate) fn signal(&self, signal: Signal) {
        let state = self.state();
        if state.status.is_none() {
            kill_process(self.pid, signal).expect("a child that is not reaped accepts signals");
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Wait for the end of the killed process: the sandbox deletes its folder next.
        self.wait_until(Duration::from_secs(10), |state| state.status.is_some());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ProcessState> {
        // A panic under the lock is a failed test already; a second panic while it unwinds would abort the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ProcessState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// Waits for output without the lock, and reads it with the lock. If the holder of the lock finds the pipe empty, the state has all
/// the output so far.
fn read(
    shared: &Arc<Shared>,
    mut pipe: impl Read + AsFd + Send + 'static,
    stream: fn(&mut ProcessState) -> &mut Stream,
) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        let mut ended = false;
        while !ended {
            while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], None) {}
            shared.change(|state| match pipe.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    ended = true;
                    stream(state).ended = true;
                }
                Ok(length) => stream(state).bytes.extend_from_slice(&buffer[..length]),
            });
        }
    });
}

fn reap(shared: &Arc<Shared>, mut child: Child, pid: Pid) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        // Wait without reaping, then reap under the lock: a signal that is sent under the lock reaches this child or
        // no process.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        shared.change(|state| state.status = Some(child.wait().expect("a child can be waited for")));
    });
}
