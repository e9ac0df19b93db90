//! Time. The time that counts is AWS's: sessions end by it, and what we sign is judged by it. This machine's clock is only
//! the first guess, since laptops wake up with a wrong one and people set theirs as they like.
//!
//! [`Clock::now`] is the best estimate of AWS's time, and everything in the daemon goes by it. It follows this machine's
//! clock as long as that goes steadily, corrected by what the `Date` of AWS's answers says (B9). Whoever compares with a clock
//! of this machine's (kubectl, a person) is told a time that [`Clock::stamp`] has turned back.

mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

pub use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use jiff::Timestamp;
use rolecall_protocol::ClockStatus;
use state::{ClockState, between, shifted};

/// Where readings come from: the machine, or a test.
pub trait ClockSource: fmt::Debug + Send + Sync {
    /// What this machine's clock shows. It can be set, and be wrong.
    fn wall(&self) -> SystemTime;
    /// Time since some moment in the past; goes on while the machine sleeps, and cannot be set.
    fn elapsed(&self) -> Duration;
    /// The same without the time asleep.
    fn awake(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

/// The daemon's one clock. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<dyn ClockSource>,
    state: Mutex<ClockState>,
}

/// One look at all clocks.
#[derive(Debug, Clone, Copy)]
pub struct ClockSample {
    wall: SystemTime,
    elapsed: Duration,
    awake: Duration,
}

impl Clock {
    /// A clock that goes by those readings.
    pub fn new(source: impl ClockSource + 'static) -> Self {
        let first = ClockSample { wall: source.wall(), elapsed: source.elapsed(), awake: source.awake() };
        Self(Arc::new(Inner { source: Box::new(source), state: Mutex::new(ClockState::new(first)) }))
    }

    /// The machine's own.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(SystemClock)
    }

    /// AWS's time, as far as it is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.with_state(ClockState::now)
    }

    /// Time since some moment in the past, the time asleep included; nobody sets it, and it is the same in the next run of the
    /// program.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.source.elapsed()
    }

    /// A moment of AWS's time as this machine's clock shows it, and as the wire says it: whole seconds.
    #[must_use]
    pub fn stamp(&self, at: SystemTime) -> Timestamp {
        timestamp(self.local(at))
    }

    /// A moment of AWS's time as this machine's clock shows it.
    fn local(&self, at: SystemTime) -> SystemTime {
        self.with_state(|state, sample| shifted(at, between(state.now(sample), sample.wall)))
    }

    /// One look at the clocks, for [`Clock::learn`].
    #[must_use]
    pub fn sample(&self) -> ClockSample {
        let source = &self.0.source;
        ClockSample { wall: source.wall(), elapsed: source.elapsed(), awake: source.awake() }
    }

    /// Learns from the `Date` of an answer of AWS's whose request was sent at `sent`. Where somebody vouched for who answered
    /// (TLS), that counts for good; where nobody did (an AWS of one's own on this machine), only while nobody else says.
    pub fn learn(&self, date: SystemTime, sent: ClockSample, is_authenticated: bool) {
        if let Some(skew) = self.with_state(|state, sample| state.learn(date, sent, sample, is_authenticated)) {
            tracing::info!(
                seconds = skew.as_secs(),
                "AWS's clock is ahead of this machine's; what is signed is corrected"
            );
        }
    }

    /// AWS's time now and the time since boot, if AWS has answered yet: for the next run of the program.
    #[must_use]
    pub fn snapshot(&self) -> Option<(SystemTime, Duration)> {
        self.with_state(|state, sample| state.is_known(sample).then(|| (state.now(sample), sample.elapsed)))
    }

    /// Goes on with what the run before has known.
    pub fn resume(&self, aws: SystemTime, elapsed: Duration) {
        self.with_state(|state, sample| state.accept(aws + sample.elapsed.saturating_sub(elapsed), sample));
    }

    /// Whether the clock was set forward and AWS has not said yet what time it is. Sessions may be over without looking it.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.with_state(|state, _| state.is_uncertain())
    }

    /// Whether AWS has said lately what time it is, and nothing has happened since that puts it in doubt.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.with_state(|state, sample| state.is_known(sample))
    }

    /// Whether the machine woke up this very moment, so that its network may still be on its way.
    #[must_use]
    pub fn is_waking(&self) -> bool {
        self.with_state(|state, sample| state.is_waking(sample))
    }

    /// How often the machine woke up, or its clock was set or corrected: whoever remembers the number sees that it happened
    /// again, and that moments noted before may be wrong.
    #[must_use]
    pub fn discontinuities(&self) -> u64 {
        self.with_state(|state, _| state.discontinuities())
    }

    /// This machine's clock against AWS's, if AWS has answered yet.
    #[must_use]
    pub fn status(&self) -> Option<ClockStatus> {
        self.with_state(|state, sample| state.status(sample))
    }

    fn with_state<T>(&self, ask: impl FnOnce(&mut ClockState, ClockSample) -> T) -> T {
        let mut state = self.state();
        // Under the lock, so that readings come in order.
        let sample = self.sample();
        state.observe(sample);
        ask(&mut state, sample)
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

impl ClockSource for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place where the wall clock is read
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        // On Linux CLOCK_MONOTONIC stands still while the machine sleeps; elsewhere it goes on.
        #[cfg(target_os = "linux")]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = rustix::time::ClockId::Monotonic;
        reading(id)
    }

    fn awake(&self) -> Duration {
        // Elsewhere this goes on too, and nobody notices sleep but by what is late.
        reading(rustix::time::ClockId::Monotonic)
    }
}

fn reading(id: rustix::time::ClockId) -> Duration {
    // Neither is ever negative, so the conversion cannot fail.
    Duration::try_from(rustix::time::clock_gettime(id)).unwrap_or_default()
}

/// The next of the moments, a minute apart, in which everybody looks who looks now and then: an idle process so wakes up once
/// for all of them.
#[must_use]
pub fn next_minute() -> tokio::time::Instant {
    const MINUTE: u64 = 60_000;
    static FIRST: OnceLock<tokio::time::Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(tokio::time::Instant::now);
    let passed = u64::try_from(first.elapsed().as_millis()).unwrap_or(u64::MAX);
    first + Duration::from_millis((passed / MINUTE + 1) * MINUTE)
}

/// A moment as the wire says it: whole seconds, rounded down.
fn timestamp(at: SystemTime) -> Timestamp {
    let seconds = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    // Out of range means a date past the year 9999, which only a broken peer can cause.
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// How long until `then`; nothing if that is past.
#[must_use]
pub fn time_until(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
