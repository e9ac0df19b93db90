//! Time. The time that counts is AWS's: sessions end by it, and what we sign is judged by it. This machine's clock is only
//! the first guess, since laptops wake up with a wrong one and people set theirs as they like.
//!
//! [`Clock::now`] is the best estimate of AWS's time, and everything in the daemon goes by it. It follows this machine's
//! clock as long as that goes steadily, corrected by what the `Date` of AWS's answers says (B9). Whoever compares with a clock
//! of this machine's (kubectl, a person) is told a time that [`Clock::stamp`] has turned back.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

pub use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use jiff::{SignedDuration, Timestamp};
use rolecall_protocol::ClockStatus;

/// A clock that differs from AWS's by less than this is right enough for everybody else: SigV4 bears five minutes (B9).
const BEARABLE: SignedDuration = SignedDuration::from_mins(4);
/// A correction is changed only for more than this: a `Date` has whole seconds, and answers take their time. Sessions end by
/// AWS's time to the second, so smaller skews than [`BEARABLE`] are corrected too.
const NOISE: SignedDuration = SignedDuration::from_secs(5);
/// A `Date` that is further off than this is a mistake of whoever sent it.
const CREDIBLE: SignedDuration = SignedDuration::from_hours(24);
/// A `Date` that took longer than this to arrive tells too little: half of it is the error. Our attempts last five seconds.
const PROMPT: Duration = Duration::from_secs(10);
/// What AWS said is known for so long; clocks drift.
const KNOWN: Duration = Duration::from_hours(6);
/// A wall clock that moves by more than this beside the time that has passed was set, rather than adjusted.
const SET: SignedDuration = SignedDuration::from_secs(30);
/// For how long a clock that was set forward is doubted where AWS does not settle it.
const DOUBT: Duration = Duration::from_mins(1);
/// Time that passed while the processor stood still, by more than this, was sleep (B10).
const ASLEEP: Duration = Duration::from_secs(10);
/// For how long after waking up the network may still be on its way (B10).
const WAKING: Duration = Duration::from_secs(10);

/// Where readings come from: the machine, or a test.
pub trait Timekeeper: fmt::Debug + Send + Sync {
    /// What this machine's clock shows. It can be set, and be wrong.
    fn wall(&self) -> SystemTime;
    /// Time since some moment in the past; goes on while the machine sleeps, and cannot be set.
    fn elapsed(&self) -> Duration;
    /// The same without the time asleep.
    fn awake(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

/// The daemon's one clock. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keeper: Box<dyn Timekeeper>,
    state: Mutex<State>,
}

/// One look at all clocks.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    wall: SystemTime,
    elapsed: Duration,
    awake: Duration,
}

/// What is known of the clocks: a pure function of readings.
#[derive(Debug)]
struct State {
    /// Steady time: what it showed at that reading of `elapsed`.
    anchor: (SystemTime, Duration),
    /// What is added to steady time.
    correction: SignedDuration,
    /// What AWS said last.
    measured: Option<Measured>,
    /// Whether somebody vouched for what AWS said.
    is_vouched_for: bool,
    /// When the wall clock was last set forward, while nobody knows whether rightly.
    doubted: Option<Duration>,
    /// How much of `elapsed` was slept through, as of the last reading.
    asleep: Duration,
    /// When the machine last woke up.
    woke: Option<Duration>,
    /// How often the machine woke up, its clock was set, or it was corrected.
    shocks: u64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    aws: SystemTime,
    elapsed: Duration,
}

impl Clock {
    /// A clock that goes by those readings.
    pub fn new(keeper: impl Timekeeper + 'static) -> Self {
        let first = Reading { wall: keeper.wall(), elapsed: keeper.elapsed(), awake: keeper.awake() };
        Self(Arc::new(Inner { keeper: Box::new(keeper), state: Mutex::new(State::new(first)) }))
    }

    /// The machine's own.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(Machine)
    }

    /// AWS's time, as far as it is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.look(State::now)
    }

    /// A moment of AWS's time as this machine's clock shows it, and as the wire says it: whole seconds.
    #[must_use]
    pub fn stamp(&self, at: SystemTime) -> Timestamp {
        timestamp(self.local(at))
    }

    /// A moment of AWS's time as this machine's clock shows it.
    #[must_use]
    pub fn local(&self, at: SystemTime) -> SystemTime {
        self.look(|state, reading| shifted(at, between(state.now(reading), reading.wall)))
    }

    /// One look at the clocks, for [`Clock::learn`].
    #[must_use]
    pub fn read(&self) -> Reading {
        let keeper = &self.0.keeper;
        Reading { wall: keeper.wall(), elapsed: keeper.elapsed(), awake: keeper.awake() }
    }

    /// Learns from the `Date` of an answer of AWS's whose request was sent at `sent`. Where somebody vouched for who answered
    /// (TLS), that counts for good; where nobody did (an AWS of one's own on this machine), only while nobody else says.
    pub fn learn(&self, date: SystemTime, sent: Reading, is_vouched_for: bool) {
        if let Some(skew) = self.look(|state, reading| state.learn(date, sent, reading, is_vouched_for)) {
            tracing::info!(
                seconds = skew.as_secs(),
                "AWS's clock is ahead of this machine's; what is signed is corrected"
            );
        }
    }

    /// AWS's time now and the time since boot, if AWS has answered yet: for the next run of the program.
    #[must_use]
    pub fn known(&self) -> Option<(SystemTime, Duration)> {
        self.look(|state, reading| state.is_known(reading).then(|| (state.now(reading), reading.elapsed)))
    }

    /// Goes on with what the run before has known.
    pub fn resume(&self, aws: SystemTime, elapsed: Duration) {
        self.look(|state, reading| state.believe(aws + reading.elapsed.saturating_sub(elapsed), reading));
    }

    /// Whether the clock was set forward and AWS has not said yet what time it is. Sessions may be over without looking it.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.look(|state, reading| state.is_doubted(reading))
    }

    /// Whether AWS has said lately what time it is, and nothing has happened since that puts it in doubt.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.look(|state, reading| state.is_known(reading))
    }

    /// Whether the machine woke up this very moment, so that its network may still be on its way.
    #[must_use]
    pub fn is_waking(&self) -> bool {
        self.look(|state, reading| state.woke.is_some_and(|woke| reading.elapsed.saturating_sub(woke) < WAKING))
    }

    /// How often the machine woke up, or its clock was set or corrected: whoever remembers the number sees that it happened
    /// again, and that moments noted before may be wrong.
    #[must_use]
    pub fn shocks(&self) -> u64 {
        self.look(|state, _| state.shocks)
    }

    /// This machine's clock against AWS's, if AWS has answered yet.
    #[must_use]
    pub fn status(&self) -> Option<ClockStatus> {
        self.look(|state, reading| state.status(reading))
    }

    fn look<T>(&self, ask: impl FnOnce(&mut State, Reading) -> T) -> T {
        let mut state = self.state();
        // Under the lock, so that readings come in order.
        let reading = self.read();
        state.take_in(reading);
        ask(&mut state, reading)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

impl Timekeeper for Machine {
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

impl State {
    const fn new(first: Reading) -> Self {
        Self {
            anchor: (first.wall, first.elapsed),
            correction: SignedDuration::ZERO,
            measured: None,
            is_vouched_for: false,
            doubted: None,
            asleep: first.elapsed.saturating_sub(first.awake),
            woke: None,
            shocks: 0,
        }
    }

    /// Notices sleep and a clock that was set.
    fn take_in(&mut self, reading: Reading) {
        let asleep = reading.elapsed.saturating_sub(reading.awake);
        if asleep > self.asleep + ASLEEP {
            self.woke = Some(reading.elapsed);
            self.shocks += 1;
        }
        self.asleep = asleep;
        let moved = between(self.steady(reading), reading.wall);
        if moved.abs() <= SET {
            // Adjusted a little: the wall clock is as good as any.
            self.anchor = (reading.wall, reading.elapsed);
        } else {
            self.set(reading, moved.is_positive());
        }
    }

    /// Somebody set the wall clock.
    fn set(&mut self, reading: Reading, is_forward: bool) {
        match self.measured.map(|last| between(last.now(reading), reading.wall)) {
            // To what AWS said: it was wrong, and is right now. Or nobody has said anything yet.
            Some(off) if off.abs() <= BEARABLE => self.follow(reading),
            None => self.follow(reading),
            // Wrong after a right time, or this machine stood still and did not notice. Later is the safe side: what may be
            // over is not used.
            Some(_) if is_forward => {
                self.follow(reading);
                self.doubted = Some(reading.elapsed);
                self.woke = Some(reading.elapsed);
            }
            // Set back: the time that has passed is no less for that, so the wall clock is not followed.
            Some(_) => {}
        }
    }

    /// From here on the wall clock is right.
    fn follow(&mut self, reading: Reading) {
        self.anchor = (reading.wall, reading.elapsed);
        self.correction = SignedDuration::ZERO;
        self.doubted = None;
        self.shocks += 1;
    }

    /// Time that goes on whatever is done to the wall clock.
    fn steady(&self, reading: Reading) -> SystemTime {
        let (at, elapsed) = self.anchor;
        at + reading.elapsed.saturating_sub(elapsed)
    }

    fn now(&mut self, reading: Reading) -> SystemTime {
        shifted(self.steady(reading), self.correction)
    }

    /// Believes a date that is prompt and credible. Answers the new correction, if it is one.
    fn learn(
        &mut self,
        date: SystemTime,
        sent: Reading,
        reading: Reading,
        is_vouched_for: bool,
    ) -> Option<SignedDuration> {
        if self.is_vouched_for && !is_vouched_for {
            return None;
        }
        let took = reading.elapsed.saturating_sub(sent.elapsed);
        if took > PROMPT {
            return None;
        }
        // A date has lost its fraction of a second: half of one is the best guess.
        let aws = date + Duration::from_millis(500) + took / 2;
        let steady = self.steady(reading);
        let off = between(steady, aws);
        let since_measured = self.measured.map(|last| between(last.now(reading), aws));
        // Further off than that it is believed only from somebody who says the same as before: the clock was set.
        if off.abs() > CREDIBLE && since_measured.is_none_or(|off| off.abs() > BEARABLE) {
            return None;
        }
        self.is_vouched_for |= is_vouched_for;
        self.believe(aws, reading)
    }

    /// Takes this for AWS's time.
    fn believe(&mut self, aws: SystemTime, reading: Reading) -> Option<SignedDuration> {
        let off = between(self.steady(reading), aws);
        self.doubted = None;
        self.measured = Some(Measured { aws, elapsed: reading.elapsed });
        if (off - self.correction).abs() <= NOISE {
            return None;
        }
        self.correction = off;
        self.shocks += 1;
        Some(off)
    }

    fn is_known(&self, reading: Reading) -> bool {
        let age = self.measured.map(|last| reading.elapsed.saturating_sub(last.elapsed));
        self.doubted.is_none() && age.is_some_and(|age| age < KNOWN)
    }

    fn is_doubted(&self, reading: Reading) -> bool {
        self.doubted.is_some_and(|since| reading.elapsed.saturating_sub(since) < DOUBT)
    }

    fn status(&self, reading: Reading) -> Option<ClockStatus> {
        let measured = self.measured?;
        let skew = between(reading.wall, measured.now(reading));
        let age = reading.elapsed.saturating_sub(measured.elapsed);
        let measured = reading.wall.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(ClockStatus {
            skew_seconds: skew.as_secs(),
            measured: timestamp(measured),
            corrected: skew.abs() > BEARABLE,
        })
    }
}

impl Measured {
    /// AWS's time now, by what it was and the time that has passed.
    fn now(&self, reading: Reading) -> SystemTime {
        self.aws + reading.elapsed.saturating_sub(self.elapsed)
    }
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

/// How far `to` is after `from`; negative if it is before.
fn between(from: SystemTime, to: SystemTime) -> SignedDuration {
    let signed = |length: Duration| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    match to.duration_since(from) {
        Ok(ahead) => signed(ahead),
        Err(behind) => -signed(behind.duration()),
    }
}

fn shifted(at: SystemTime, by: SignedDuration) -> SystemTime {
    let moved = if by.is_negative() { at.checked_sub(by.unsigned_abs()) } else { at.checked_add(by.unsigned_abs()) };
    moved.unwrap_or(at)
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
pub fn left(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;
