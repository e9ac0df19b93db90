//! Reads the daemon's event stream in a thread and sends [`WatchEvent`]s to the watch.
//!
//! An event says only that the status has changed; the thread then fetches the status. When the stream ends, the daemon
//! was stopped, restarted or killed: the thread reconnects, but never starts the daemon, since the user may have
//! stopped it on purpose.

use std::io;
use std::sync::mpsc::{SendError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use rolecall_protocol::{Endpoint, ErrorCode, sanitize_for_terminal};

use crate::clock::{self, Deadline, long_backoff, monotonic_now};
use crate::daemon::http::{HttpError, LineStream};
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon};

/// The minimum time between two fetches of the status. Events come in bursts.
const MIN_FETCH_INTERVAL: Duration = Duration::from_millis(200);
/// How long the stream may be silent. An idle daemon sends an empty line every 10 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(24);
/// How long the stream is read once more after [`SILENCE_TIMEOUT`]. After Ctrl-Z and `fg` it holds what the daemon sent
/// while the client was stopped.
const EXTRA_READ_TIMEOUT: Duration = Duration::from_secs(1);
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
    schedule: FetchSchedule,
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
        Self {
            daemon,
            sender,
            schedule: FetchSchedule::default(),
            outage_grace,
            silence_timeout,
            grace_end: None,
            failures: 0,
            held_lock: false,
        }
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

    /// Fetches the status after each event. Returns the failure that ends the stream.
    fn relay(&mut self, mut events: LineStream) -> Result<CallError, ReceiverGone> {
        self.held_lock = self.daemon.holds_instance_lock();
        self.schedule.request();
        let mut silence_timer = SilenceTimer::after(self.silence_timeout);
        loop {
            let due = self.schedule.due(monotonic_now());
            if due == Some(Duration::ZERO) {
                self.schedule.fetched(monotonic_now());
                match self.daemon.call(&Endpoint::Status, b"", Deadline::after(CALL_TIMEOUT)) {
                    Ok(answer) => {
                        self.sender.send(WatchEvent::Heard(clock::now()))?;
                        self.sender.send(WatchEvent::Status(answer.body().to_vec()))?;
                    }
                    Err(failure) => return Ok(failure),
                }
                silence_timer = SilenceTimer::after(self.silence_timeout);
                (self.failures, self.grace_end) = (0, None);
                continue;
            }
            let left = silence_timer.left();
            match events.next(Deadline::after(due.or(left).unwrap_or(EXTRA_READ_TIMEOUT))) {
                Ok(Some(line)) => {
                    // An empty line is a keep-alive.
                    if !line.is_empty() {
                        self.schedule.request();
                    }
                    self.sender.send(WatchEvent::Heard(clock::now()))?;
                    silence_timer = SilenceTimer::after(self.silence_timeout);
                }
                // Reported only after one more read, see EXTRA_READ_TIMEOUT.
                Ok(None) if due.is_none() && left.is_none() && silence_timer.report() => {
                    self.sender.send(WatchEvent::Outage(Outage::Silent))?;
                }
                Ok(None) => {}
                Err(HttpError::Invalid(why)) => return Ok(CallError::InvalidResponse(why.to_owned())),
                Err(lost) => return Ok(CallError::Disconnected(lost)),
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

/// The time that is left until the stream counts as silent.
struct SilenceTimer {
    until: Deadline,
    is_reported: bool,
}

impl SilenceTimer {
    fn after(silence: Duration) -> Self {
        Self { until: Deadline::after(silence), is_reported: false }
    }

    fn left(&self) -> Option<Duration> {
        self.until.remaining()
    }

    /// Returns true on the first call.
    const fn report(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reported, true)
    }
}

/// When the status is fetched: immediately, or [`MIN_FETCH_INTERVAL`] after the last fetch. One fetch serves all events
/// by then.
#[derive(Debug, Default)]
struct FetchSchedule {
    is_requested: bool,
    last: Option<Instant>,
}

impl FetchSchedule {
    /// Requests a fetch.
    const fn request(&mut self) {
        self.is_requested = true;
    }

    /// The time until the next fetch; `None` if none is requested.
    fn due(&self, now: Instant) -> Option<Duration> {
        let next = self.last.and_then(|last| last.checked_add(MIN_FETCH_INTERVAL));
        self.is_requested.then(|| next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now)))
    }

    /// Records a fetch that starts now.
    const fn fetched(&mut self, now: Instant) {
        (self.is_requested, self.last) = (false, Some(now));
    }
}

#[cfg(test)]
mod tests;
