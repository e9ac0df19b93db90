//! Follows the daemon's events in a thread, and sends what the watch shows.
//!
//! An event says only that something has changed; the status is then fetched as every other command does. When the
//! stream ends, the daemon was stopped, restarted or killed: the client reconnects, but never starts it, since the
//! user may have stopped it on purpose.

use std::io;
use std::sync::mpsc::{SendError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use rolecall_protocol::{Endpoint, ErrorCode, sanitize_for_terminal};

use crate::clock::{self, Deadline, long_backoff, monotonic_now};
use crate::daemon::http::{HttpError, LineStream};
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon};

/// The least time between two looks at the status: events come in bursts, and eyes are slow.
const MIN_FETCH_INTERVAL: Duration = Duration::from_millis(200);
/// How long the daemon may say nothing: where nothing happens it sends an empty line every ten seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(24);
/// How long the stream is read once more after that: after Ctrl-Z and fg, it holds what the daemon sent in between.
const EXTRA_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the daemon may be away before that is news: a restart takes less.
const OUTAGE_GRACE: Duration = Duration::from_secs(1);

/// What there is to know for who watches.
#[derive(Debug)]
pub(super) enum WatchEvent {
    /// The status as the daemon tells it: JSON.
    Status(Vec<u8>),
    /// The daemon has said something, if only that it is there.
    Heard(Timestamp),
    /// The daemon cannot be asked, and it is tried again.
    Outage(Outage),
    /// It makes no sense to go on.
    Ended(CallError),
    /// A signal: Ctrl-C, or a resized terminal.
    Signal(Signal),
}

/// Why the daemon cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outage {
    /// It does not run.
    Gone,
    /// It runs, and does not answer.
    Silent,
    /// Something else, in words.
    Failing(String),
}

/// The watch has ended.
type ReceiverGone = SendError<WatchEvent>;

/// Follows the daemon in a thread of its own, from a stream of events that has just begun. `agent` must be one that
/// starts nothing.
pub(super) fn start(daemon: Daemon, events: LineStream, sender: Sender<WatchEvent>) -> io::Result<()> {
    let follower = Follower::new(daemon, sender, OUTAGE_GRACE, SILENCE_TIMEOUT);
    let follow = move || {
        // An error means that the watch has ended.
        let _ = follower.follow(events);
    };
    std::thread::Builder::new().name("events".to_owned()).spawn(follow).map(drop)
}

struct Follower {
    daemon: Daemon,
    sender: Sender<WatchEvent>,
    schedule: FetchSchedule,
    /// How long the daemon may be away before that is news.
    outage_grace: Duration,
    /// How long it may say nothing.
    silence: Duration,
    /// Until when it may, where it is.
    until: Option<Deadline>,
    /// How often it was looked for since the last status.
    failures: u32,
    /// Whether the daemon was seen to hold its lock, so that it is seen to let it go.
    held_lock: bool,
}

impl Follower {
    fn new(daemon: Daemon, sender: Sender<WatchEvent>, outage_grace: Duration, silence: Duration) -> Self {
        Self {
            daemon,
            sender,
            schedule: FetchSchedule::default(),
            outage_grace,
            silence,
            until: None,
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
            let until = *self.until.get_or_insert_with(|| Deadline::after(self.outage_grace));
            if until.remaining().is_none() {
                self.sender.send(WatchEvent::Outage(outage(&failure)))?;
            }
            std::thread::sleep(long_backoff(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Fetches the status whenever something happens, until that fails.
    fn relay(&mut self, mut events: LineStream) -> Result<CallError, ReceiverGone> {
        self.held_lock = self.daemon.holds_instance_lock();
        self.schedule.want();
        let mut silence_timer = SilenceTimer::after(self.silence);
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
                silence_timer = SilenceTimer::after(self.silence);
                (self.failures, self.until) = (0, None);
                continue;
            }
            let left = silence_timer.left();
            match events.next(Deadline::after(due.or(left).unwrap_or(EXTRA_READ_TIMEOUT))) {
                Ok(Some(line)) => {
                    // What has happened shows in the status; an empty line says nothing but that the daemon is there.
                    if !line.is_empty() {
                        self.schedule.want();
                    }
                    self.sender.send(WatchEvent::Heard(clock::now()))?;
                    silence_timer = SilenceTimer::after(self.silence);
                }
                // Only after a look of its own does it count as silent.
                Ok(None) if due.is_none() && left.is_none() && silence_timer.is_first() => {
                    self.sender.send(WatchEvent::Outage(Outage::Silent))?;
                }
                Ok(None) => {}
                Err(HttpError::Invalid(why)) => return Ok(CallError::InvalidResponse(why.to_owned())),
                Err(lost) => return Ok(CallError::Disconnected(lost)),
            }
        }
    }

    /// Looks for the daemon. Where a service manager listens in its place, to connect would be to start it; so a
    /// daemon that has released its lock is left alone until the lock is held again.
    fn reconnect(&self) -> Result<LineStream, CallError> {
        if self.held_lock && !self.daemon.holds_instance_lock() {
            return Err(CallError::NotRunning);
        }
        self.daemon.events(Deadline::after(CALL_TIMEOUT))
    }
}

/// Whether a failure is one of those that end by themselves: the daemon is not there, or has no time.
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
        // Lost, and not yet there again.
        CallError::NotRunning | CallError::Disconnected(_) => Outage::Gone,
        CallError::NoResponse(_) | CallError::Busy(_) => Outage::Silent,
        other => Outage::Failing(sanitize_for_terminal(&format!("{other}; trying again"))),
    }
}

/// How long the daemon may still be silent, and whether its silence was reported.
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

    /// True once.
    const fn is_first(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reported, true)
    }
}

/// When the status is fetched: at once if it was not for a while, else after a pause, and once for all that has happened
/// by then.
#[derive(Debug, Default)]
struct FetchSchedule {
    is_wanted: bool,
    last: Option<Instant>,
}

impl FetchSchedule {
    /// Something has happened.
    const fn want(&mut self) {
        self.is_wanted = true;
    }

    /// How long until it is to be fetched; `None` while nothing has happened.
    fn due(&self, now: Instant) -> Option<Duration> {
        let next = self.last.and_then(|last| last.checked_add(MIN_FETCH_INTERVAL));
        self.is_wanted.then(|| next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now)))
    }

    /// It is being fetched: what happens from now on is new.
    const fn fetched(&mut self, now: Instant) {
        (self.is_wanted, self.last) = (false, Some(now));
    }
}

#[cfg(test)]
mod tests;
