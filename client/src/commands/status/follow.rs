//! Reads the daemon's event stream in a thread and sends [`WatchEvent`]s to the watch.
//!
//! An event says only that the status has changed; the thread then fetches the status. When the stream ends, the daemon
//! was stopped, restarted or killed: the thread reconnects, but never starts the daemon, since the user may have
//! stopped it on purpose.

use std::io;
use std::sync::mpsc::{SendError, Sender};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use rolecall_protocol::{Endpoint, ErrorCode, sanitize_for_terminal};

use crate::clock::{self, Deadline, long_backoff};
use crate::daemon::http::{HttpError, LineStream};
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon};

/// The minimum time between two fetches of the status. Events come in bursts.
const MIN_FETCH_INTERVAL: Duration = Duration::from_millis(200);
/// How long the stream may be silent. An idle daemon sends an empty line every 10 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(24);
/// How long the stream is read once more after [`SILENCE_TIMEOUT`].
const EXTRA_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the stream is read for further events after one.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(1);
/// How long the daemon may be unreachable before an [`Outage`] is reported. A restart takes less.
const OUTAGE_GRACE: Duration = Duration::from_secs(1);

/// What the watch thread receives.
#[derive(Debug)]
pub(super) enum WatchEvent {
    /// The status, as the JSON of the daemon.
    Status(Vec<u8>),
    /// When the daemon last sent a line or a response.
    Heard(Timestamp),
    /// The daemon is unreachable; the thread reconnects.
    Outage(Outage),
    /// A failure that does not end by itself. The thread has ended.
    Ended(CallError),
    /// A signal for this process, such as Ctrl-C or a resized terminal.
    Signal(Signal),
    /// The user pressed the key `q`.
    Quit,
}

/// Why the daemon is unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outage {
    /// It does not run.
    NotRunning,
    /// It runs but does not answer.
    Silent,
    /// Another cause, as text.
    Failing(String),
}

/// The watch thread has ended.
type ReceiverGone = SendError<WatchEvent>;

/// Starts the thread, which reads from `events`. `daemon` must be [`crate::daemon::IfAbsent::Fail`].
pub(super) fn start(daemon: Daemon, events: LineStream, sender: Sender<WatchEvent>) -> io::Result<()> {
    let follower = Follower::new(daemon, sender, OUTAGE_GRACE, SILENCE_TIMEOUT);
    let follow = move || {
        // An error means that the watch thread has ended.
        let _ = follower.follow(events);
    };
    std::thread::Builder::new().name("events".to_owned()).spawn(follow).map(drop)
}

struct Follower {
    daemon: Daemon,
    sender: Sender<WatchEvent>,
    outage_grace: Duration,
    silence_timeout: Duration,
    /// The end of the grace period of the current outage.
    grace_end: Option<Deadline>,
    /// Failed connections since the last status.
    failures: u32,
    /// Whether the daemon held its instance lock when the stream began.
    held_lock: bool,
}

impl Follower {
    fn new(daemon: Daemon, sender: Sender<WatchEvent>, outage_grace: Duration, silence_timeout: Duration) -> Self {
        Self { daemon, sender, outage_grace, silence_timeout, grace_end: None, failures: 0, held_lock: false }
    }

    fn follow(mut self, events: LineStream) -> Result<(), ReceiverGone> {
        let mut events = Some(events);
        loop {
            let failure = match events.take() {
                Some(events) => self.relay(events)?,
                None => match self.reconnect() {
                    Ok(begun) => {
                        events = Some(begun);
                        continue;
                    }
                    Err(failure) => failure,
                },
            };
            if !is_transient(&failure) {
                return self.sender.send(WatchEvent::Ended(failure));
            }
            let grace_end = *self.grace_end.get_or_insert_with(|| Deadline::after(self.outage_grace));
            if grace_end.remaining().is_none() {
                self.sender.send(WatchEvent::Outage(outage(&failure)))?;
            }
            std::thread::sleep(long_backoff(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Fetches the status, and again after each event. Returns the failure that ends the stream.
    fn relay(&mut self, mut events: LineStream) -> Result<CallError, ReceiverGone> {
        self.held_lock = self.daemon.holds_instance_lock();
        loop {
            match self.daemon.call(&Endpoint::Status, b"", Deadline::after(CALL_TIMEOUT)) {
                Ok(answer) => {
                    self.sender.send(WatchEvent::Heard(clock::now()))?;
                    self.sender.send(WatchEvent::Status(answer.body().to_vec()))?;
                }
                Err(failure) => return Ok(failure),
            }
            (self.failures, self.grace_end) = (0, None);
            std::thread::sleep(MIN_FETCH_INTERVAL);
            if let Some(failure) = self.wait_for_event(&mut events)? {
                return Ok(failure);
            }
        }
    }

    /// Reads the stream until it has no more events after the first one, since one fetch serves them all. Returns the
    /// failure that ends the stream.
    fn wait_for_event(&self, events: &mut LineStream) -> Result<Option<CallError>, ReceiverGone> {
        let (mut is_event, mut silences) = (false, 0);
        loop {
            let timeout = match (is_event, silences) {
                (true, _) => DRAIN_TIMEOUT,
                (false, 0) => self.silence_timeout,
                // After Ctrl-Z and `fg` the stream still has what the daemon sent while the client was stopped.
                (false, _) => EXTRA_READ_TIMEOUT,
            };
            match events.next(Deadline::after(timeout)) {
                Ok(Some(line)) => {
                    // An empty line is a keep-alive.
                    (is_event, silences) = (is_event || !line.is_empty(), 0);
                    self.sender.send(WatchEvent::Heard(clock::now()))?;
                }
                Ok(None) if is_event => return Ok(None),
                Ok(None) => {
                    silences += 1;
                    if silences == 2 {
                        self.sender.send(WatchEvent::Outage(Outage::Silent))?;
                    }
                }
                Err(HttpError::Invalid(why)) => return Ok(Some(CallError::InvalidResponse(why.to_owned()))),
                Err(lost) => return Ok(Some(CallError::Disconnected(lost))),
            }
        }
    }

    /// Connects to the daemon again. If a service manager owns the socket, a connection starts the daemon. So the
    /// client does not connect after the daemon released its instance lock, until a daemon holds the lock again.
    fn reconnect(&self) -> Result<LineStream, CallError> {
        if self.held_lock && !self.daemon.holds_instance_lock() {
            return Err(CallError::NotRunning);
        }
        self.daemon.events(Deadline::after(CALL_TIMEOUT))
    }
}

/// Whether a failure ends by itself: the daemon does not run, or is busy.
fn is_transient(failure: &CallError) -> bool {
    match failure {
        CallError::NotRunning
        | CallError::Connect { .. }
        | CallError::Busy(_)
        | CallError::NoResponse(_)
        | CallError::Disconnected(_) => true,
        CallError::Rejected(said) => said.code == ErrorCode::Unavailable,
        _ => false,
    }
}

fn outage(failure: &CallError) -> Outage {
    match failure {
        CallError::NotRunning | CallError::Disconnected(_) => Outage::NotRunning,
        CallError::NoResponse(_) | CallError::Busy(_) => Outage::Silent,
        other => Outage::Failing(sanitize_for_terminal(&format!("{other}; trying again"))),
    }
}

#[cfg(test)]
mod tests;
