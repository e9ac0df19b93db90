//! Following the daemon: what it does becomes news, until nobody wants any.
//!
//! An event says only that something has changed; the status is then fetched as every other command does. When the
//! stream ends, the daemon was stopped, restarted or killed: it is looked for, but never started, since somebody may
//! have stopped it on purpose.

use std::io;
use std::sync::mpsc::{SendError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use rolecall_protocol::{Endpoint, ErrorCode, sanitize_for_terminal};

use crate::clock::{self, Deadline, patient_pause, steady};
use crate::daemon::http::{HttpError, Lines};
use crate::daemon::{Agent, CALL, CallError};

/// The least time between two looks at the status: events come in bursts, and eyes are slow.
const GAP: Duration = Duration::from_millis(200);
/// How long the daemon may say nothing: where nothing happens it sends an empty line every ten seconds.
const SILENCE: Duration = Duration::from_secs(24);
/// How long the stream is listened to at once after that. Whoever was stopped meanwhile (Ctrl-Z) finds in it what was
/// said in that time, and a daemon that has spoken is not silent.
const LISTEN: Duration = Duration::from_secs(1);
/// How long the daemon may be away before that is news: a restart takes less.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is to know for who watches.
#[derive(Debug)]
pub(super) enum News {
    /// The status as the daemon tells it: JSON.
    Status(Vec<u8>),
    /// The daemon has said something, if only that it is there.
    Heard(Timestamp),
    /// The daemon cannot be asked, and it is tried again.
    Away(Away),
    /// It makes no sense to go on.
    Ended(CallError),
    /// Somebody pressed a key, or resized the terminal.
    Signal(Signal),
}

/// Why the daemon cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Away {
    /// It does not run.
    Gone,
    /// It runs, and does not answer.
    Silent,
    /// Something else, in words.
    Troubled(String),
}

/// Nobody wants any news any more.
type Unwanted = SendError<News>;

/// Follows the daemon in a thread of its own, from a stream of events that has just begun. `agent` must be one that
/// starts nothing.
pub(super) fn start(agent: Agent, events: Lines, tell: Sender<News>) -> io::Result<()> {
    let follower = Follower::new(agent, tell, PATIENCE, SILENCE);
    let follow = move || {
        // It ends where nobody listens any more; that is all there is to it.
        let _ = follower.follow(events);
    };
    std::thread::Builder::new().name("events".to_owned()).spawn(follow).map(drop)
}

struct Follower {
    agent: Agent,
    tell: Sender<News>,
    pace: Pace,
    /// How long the daemon may be away before that is news.
    patience: Duration,
    /// How long it may say nothing.
    silence: Duration,
    /// Until when it may, where it is.
    until: Option<Deadline>,
    /// How often it was looked for since the last status.
    failures: u32,
    /// Whether the daemon was seen to hold its lock, so that it is seen to let it go.
    shows_lock: bool,
}

impl Follower {
    fn new(agent: Agent, tell: Sender<News>, patience: Duration, silence: Duration) -> Self {
        Self { agent, tell, pace: Pace::default(), patience, silence, until: None, failures: 0, shows_lock: false }
    }

    fn follow(mut self, events: Lines) -> Result<(), Unwanted> {
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
            if !passes(&failure) {
                return self.tell.send(News::Ended(failure));
            }
            let until = *self.until.get_or_insert_with(|| Deadline::after(self.patience));
            if until.remaining().is_none() {
                self.tell.send(News::Away(away(&failure)))?;
            }
            std::thread::sleep(patient_pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Fetches the status whenever something happens, until that fails.
    fn relay(&mut self, mut events: Lines) -> Result<CallError, Unwanted> {
        self.shows_lock = self.agent.is_seen_running();
        self.pace.want();
        let mut quiet = Quiet::after(self.silence);
        loop {
            let due = self.pace.due(steady());
            if due == Some(Duration::ZERO) {
                self.pace.fetched(steady());
                match self.agent.call(&Endpoint::Status, b"", Deadline::after(CALL)) {
                    Ok(answer) => {
                        self.tell.send(News::Heard(clock::now()))?;
                        self.tell.send(News::Status(answer.body().to_vec()))?;
                    }
                    Err(failure) => return Ok(failure),
                }
                quiet = Quiet::after(self.silence);
                (self.failures, self.until) = (0, None);
                continue;
            }
            let left = quiet.left();
            match events.next(Deadline::after(due.or(left).unwrap_or(LISTEN))) {
                Ok(Some(line)) => {
                    // What has happened shows in the status; an empty line says nothing but that the daemon is there.
                    if !line.is_empty() {
                        self.pace.want();
                    }
                    self.tell.send(News::Heard(clock::now()))?;
                    quiet = Quiet::after(self.silence);
                }
                // Only after a look of its own does it count as silent.
                Ok(None) if due.is_none() && left.is_none() && quiet.is_first() => {
                    self.tell.send(News::Away(Away::Silent))?;
                }
                Ok(None) => {}
                Err(HttpError::Malformed(why)) => return Ok(CallError::Malformed(why.to_owned())),
                Err(lost) => return Ok(CallError::Lost(lost)),
            }
        }
    }

    /// Looks for the daemon. Where a service manager listens in its place, to connect would be to start it; so whoever
    /// was seen to let its lock go is left alone until it has it again.
    fn reconnect(&self) -> Result<Lines, CallError> {
        if self.shows_lock && !self.agent.is_seen_running() {
            return Err(CallError::NotRunning);
        }
        self.agent.events(Deadline::after(CALL))
    }
}

/// Whether a failure is one of those that end by themselves: the daemon is not there, or has no time.
fn passes(failure: &CallError) -> bool {
    match failure {
        CallError::NotRunning
        | CallError::Connect { .. }
        | CallError::Busy(_)
        | CallError::Silent(_)
        | CallError::Lost(_) => true,
        CallError::Said(said) => said.code == ErrorCode::Unavailable,
        _ => false,
    }
}

fn away(failure: &CallError) -> Away {
    match failure {
        // Lost, and not yet there again.
        CallError::NotRunning | CallError::Lost(_) => Away::Gone,
        CallError::Silent(_) | CallError::Busy(_) => Away::Silent,
        other => Away::Troubled(sanitize_for_terminal(&format!("{other}; trying again"))),
    }
}

/// How long the daemon may still say nothing, and whether it was told that this is over.
struct Quiet {
    until: Deadline,
    is_told: bool,
}

impl Quiet {
    fn after(silence: Duration) -> Self {
        Self { until: Deadline::after(silence), is_told: false }
    }

    fn left(&self) -> Option<Duration> {
        self.until.remaining()
    }

    /// True once.
    const fn is_first(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }
}

/// When the status is fetched: at once if it was not for a while, else after a pause, and once for all that has happened
/// by then.
#[derive(Debug, Default)]
struct Pace {
    is_wanted: bool,
    last: Option<Instant>,
}

impl Pace {
    /// Something has happened.
    const fn want(&mut self) {
        self.is_wanted = true;
    }

    /// How long until it is to be fetched; `None` while nothing has happened.
    fn due(&self, now: Instant) -> Option<Duration> {
        let next = self.last.and_then(|last| last.checked_add(GAP));
        self.is_wanted.then(|| next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now)))
    }

    /// It is being fetched: what happens from now on is new.
    const fn fetched(&mut self, now: Instant) {
        (self.is_wanted, self.last) = (false, Some(now));
    }
}

#[cfg(test)]
mod tests;
