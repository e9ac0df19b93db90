//! The estimate of AWS's time. AWS decides when a session expires and whether a signature is too old, so AWS's time is the
//! one that counts. This machine's clock may be wrong: users set it, and some laptops wake up with a wrong one.
//!
//! Every part of the daemon uses [`Clock::now`], the best estimate of AWS's time. It follows this machine's clock while
//! that runs steadily, corrected by the `Date` header of AWS's responses (B9). kubectl and users compare a time with this
//! machine's clock, so [`Clock::stamp`] converts it back for them.

mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rolecall_protocol::ClockStatus;
use state::{ClockState, shifted, signed_duration};

/// The clocks of this machine, or of a test.
pub trait ClockSource: fmt::Debug + Send + Sync {
    /// Returns the wall clock, which users can set and which may be wrong.
    fn wall(&self) -> SystemTime;
    /// Returns the time since boot, sleep included. Setting the wall clock does not change it.
    fn elapsed(&self) -> Duration;
    /// Returns the time since boot without sleep.
    fn awake(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

/// The clock of the daemon. Clones share one state.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<dyn ClockSource>,
    state: Mutex<ClockState>,
}

/// The values of all clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ClockSample {
    wall: SystemTime,
    elapsed: Duration,
    awake: Duration,
}

impl Clock {
    /// Returns a clock that reads from `source`.
    pub fn new(source: impl ClockSource + 'static) -> Self {
        let first = ClockSample { wall: source.wall(), elapsed: source.elapsed(), awake: source.awake() };
        Self(Arc::new(Inner { source: Box::new(source), state: Mutex::new(ClockState::new(first)) }))
    }

    /// Returns a clock that reads from the operating system.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(SystemClock)
    }

    /// Returns the best estimate of AWS's time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.with_state(ClockState::now)
    }

    /// Returns the time since boot, sleep included. It continues in the process that replaces this one on restart.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.source.elapsed()
    }

    /// Converts AWS's time to this machine's clock, in whole seconds as the protocol has it.
    #[must_use]
    pub fn stamp(&self, at: SystemTime) -> Timestamp {
        timestamp(self.local(at))
    }

    /// Returns this machine's time in milliseconds, as the logs of other programs have it.
    #[must_use]
    pub fn machine_time(&self) -> Timestamp {
        let now = Timestamp::try_from(self.0.source.wall()).unwrap_or_default();
        now.round(jiff::Unit::Millisecond).unwrap_or(now)
    }

    /// Converts AWS's time to this machine's clock.
    fn local(&self, at: SystemTime) -> SystemTime {
        self.with_state(|state, sample| shifted(at, signed_duration(state.now(sample), sample.wall)))
    }

    /// Reads all clocks, for [`Clock::learn`].
    #[must_use]
    pub fn sample(&self) -> ClockSample {
        let source = &self.0.source;
        ClockSample { wall: source.wall(), elapsed: source.elapsed(), awake: source.awake() }
    }

    /// Corrects the clock by the `Date` header of a response whose request was sent at `sent`. Once an authenticated (TLS)
    /// response has arrived, dates without authentication, such as those of a local test server, are ignored.
    pub fn learn(&self, date: SystemTime, sent: ClockSample, is_authenticated: bool) {
        if let Some(skew) = self.with_state(|state, sample| state.learn(date, sent, sample, is_authenticated)) {
            tracing::info!(skew_seconds = skew.as_secs(), "clock corrected to AWS's time");
        }
    }

    /// Returns AWS's time and the time since boot if AWS's time is known, for the process that replaces this one.
    #[must_use]
    pub fn snapshot(&self) -> Option<(SystemTime, Duration)> {
        self.with_state(|state, sample| state.is_known(sample).then(|| (state.now(sample), sample.elapsed)))
    }

    /// Continues with the [`Clock::snapshot`] of the process before.
    pub fn resume(&self, aws: SystemTime, elapsed: Duration) {
        self.with_state(|state, sample| state.accept(aws + sample.elapsed.saturating_sub(elapsed), sample));
    }

    /// Returns whether the wall clock was set forward and no response of AWS has arrived since. Sessions that look valid may
    /// have expired.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.with_state(|state, _| state.is_uncertain())
    }

    /// Returns whether a response of AWS within the last 6 h gave its time and the wall clock was not set forward since.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.with_state(|state, sample| state.is_known(sample))
    }

    /// Returns whether the machine woke up within the last 10 s. Its network may not be up yet.
    #[must_use]
    pub fn is_waking(&self) -> bool {
        self.with_state(|state, sample| state.is_waking(sample))
    }

    /// Returns how often the machine has woken up or its clock was set or corrected. If the number has changed, times that a
    /// caller computed before may be wrong.
    #[must_use]
    pub fn discontinuities(&self) -> u64 {
        self.with_state(|state, _| state.discontinuities())
    }

    /// Returns how far this machine's clock is off; `None` before the first response of AWS.
    #[must_use]
    pub fn status(&self) -> Option<ClockStatus> {
        self.with_state(|state, sample| state.status(sample))
    }

    fn with_state<T>(&self, read: impl FnOnce(&mut ClockState, ClockSample) -> T) -> T {
        let mut state = self.state();
        // Under the lock, so that samples arrive in order.
        let sample = self.sample();
        state.observe(sample);
        read(&mut state, sample)
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockSource for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place where the wall clock is read
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        system::elapsed()
    }

    fn awake(&self) -> Duration {
        system::awake()
    }
}

/// The clocks of Linux: CLOCK_MONOTONIC stops while the machine sleeps.
#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn elapsed() -> Duration {
        read(ClockId::Boottime)
    }

    pub(super) fn awake() -> Duration {
        read(ClockId::Monotonic)
    }

    fn read(clock: ClockId) -> Duration {
        // Neither clock is ever negative, so the conversion cannot fail.
        Duration::try_from(clock_gettime(clock)).unwrap_or_default()
    }
}

/// The clocks of macOS: CLOCK_MONOTONIC_RAW continues while the machine sleeps, CLOCK_UPTIME_RAW stops (clock_gettime(3)).
#[cfg(target_os = "macos")]
mod system {
    use std::time::Duration;

    use nix::libc::{CLOCK_MONOTONIC_RAW, CLOCK_UPTIME_RAW, clockid_t};
    use nix::time::{ClockId, clock_gettime};

    pub(super) fn elapsed() -> Duration {
        read(CLOCK_MONOTONIC_RAW)
    }

    pub(super) fn awake() -> Duration {
        read(CLOCK_UPTIME_RAW)
    }

    fn read(clock: clockid_t) -> Duration {
        // Both clocks exist on every macOS.
        clock_gettime(ClockId::from_raw(clock)).map(Duration::from).unwrap_or_default()
    }
}

/// The time between two ticks of the process, about a minute. tokio keeps timers in slots of 2^6, 2^12 and 2^18 ms since the start of
/// the runtime, and wakes up at the beginning of each slot that a timer moves through: once for a timer at a multiple of 2^16 ms, up to
/// three times for another one.
pub const TICK: Duration = Duration::from_millis(1 << 16);

/// Starts the ticks. Call it just before the runtime starts.
pub fn start_ticks() {
    next_tick();
}

/// Returns the next tick of the process. All periodic tasks share it, so that an idle daemon wakes up once for all of them.
pub fn next_tick() -> tokio::time::Instant {
    static FIRST: OnceLock<tokio::time::Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(tokio::time::Instant::now);
    let passed = u32::try_from(first.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or_default();
    first + TICK * passed.saturating_add(1)
}

/// Converts to whole seconds, rounded down, as the protocol has it.
fn timestamp(at: SystemTime) -> Timestamp {
    let seconds = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    // Out of range is a date after the year 9999, which only an invalid response can contain.
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// Returns the time from `now` until `then`; zero if `then` is in the past.
#[must_use]
pub fn time_until(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
