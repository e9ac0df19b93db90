//! What is made of the clocks' readings: sleep, a clock that was set, AWS's time. Nothing in here reads a clock.

use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use rolecall_protocol::ClockStatus;

use super::{ClockSample, timestamp};

/// A clock that differs from AWS's by less than this is right enough for everybody else: SigV4 bears five minutes (B9).
const MAX_TOLERATED_SKEW: SignedDuration = SignedDuration::from_mins(4);
/// A correction is changed only for more than this: a `Date` has whole seconds, and answers take their time. Sessions end by
/// AWS's time to the second, so smaller skews than [`MAX_TOLERATED_SKEW`] are corrected too.
const MIN_CORRECTION: SignedDuration = SignedDuration::from_secs(5);
/// A `Date` that is further off than this is a mistake of whoever sent it.
const MAX_CREDIBLE_SKEW: SignedDuration = SignedDuration::from_hours(24);
/// A `Date` that took longer than this to arrive tells too little: half of it is the error. Our attempts last five seconds.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// What AWS said is known for so long; clocks drift.
pub(super) const MEASUREMENT_TTL: Duration = Duration::from_hours(6);
/// A wall clock that moves by more than this beside the time that has passed was set, rather than adjusted.
const MIN_CLOCK_STEP: SignedDuration = SignedDuration::from_secs(30);
/// Time that passed while the processor stood still, by more than this, was sleep (B10).
const MIN_SLEEP: Duration = Duration::from_secs(10);
/// For how long after waking up the network may still be on its way (B10).
pub(super) const WAKE_PERIOD: Duration = Duration::from_secs(10);

/// What is known of the clocks: a pure function of readings.
#[derive(Debug)]
pub(super) struct ClockState {
    /// Steady time: what it showed at that sample of `elapsed`.
    anchor: (SystemTime, Duration),
    /// What is added to steady time.
    correction: SignedDuration,
    /// What AWS said last.
    measured: Option<Measured>,
    /// Whether somebody vouched for what AWS said.
    is_authenticated: bool,
    /// Whether the wall clock was set forward and nobody knows whether rightly.
    is_uncertain: bool,
    /// How much of `elapsed` was slept through, as of the last sample.
    asleep: Duration,
    /// When the machine last woke up.
    woke: Option<Duration>,
    /// How often the machine woke up, its clock was set, or it was corrected.
    discontinuities: u64,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    aws: SystemTime,
    elapsed: Duration,
}

impl ClockState {
    pub(super) const fn new(first: ClockSample) -> Self {
        Self {
            anchor: (first.wall, first.elapsed),
            correction: SignedDuration::ZERO,
            measured: None,
            is_authenticated: false,
            is_uncertain: false,
            asleep: first.elapsed.saturating_sub(first.awake),
            woke: None,
            discontinuities: 0,
        }
    }

    /// Notices sleep and a clock that was set.
    pub(super) fn observe(&mut self, sample: ClockSample) {
        let asleep = sample.elapsed.saturating_sub(sample.awake);
        if asleep > self.asleep + MIN_SLEEP {
            self.woke = Some(sample.elapsed);
            self.discontinuities += 1;
        }
        self.asleep = asleep;
        let moved = between(self.steady(sample), sample.wall);
        if moved.abs() <= MIN_CLOCK_STEP {
            // Adjusted a little: the wall clock is as good as any.
            self.anchor = (sample.wall, sample.elapsed);
        } else {
            self.set(sample, moved.is_positive());
        }
    }

    /// Somebody set the wall clock.
    fn set(&mut self, sample: ClockSample, is_forward: bool) {
        match self.measured.map(|last| between(last.now(sample), sample.wall)) {
            // To what AWS said: it was wrong, and is right now. Or nobody has said anything yet.
            Some(off) if off.abs() <= MAX_TOLERATED_SKEW => self.follow(sample),
            None => self.follow(sample),
            // Wrong after a right time, or this machine stood still and did not notice. Later is the safe side: what may be
            // over is not used.
            Some(_) if is_forward => {
                self.follow(sample);
                self.is_uncertain = true;
                self.woke = Some(sample.elapsed);
            }
            // Set back: the time that has passed is no less for that, so the wall clock is not followed.
            Some(_) => {}
        }
    }

    /// From here on the wall clock is right.
    fn follow(&mut self, sample: ClockSample) {
        self.anchor = (sample.wall, sample.elapsed);
        self.correction = SignedDuration::ZERO;
        self.is_uncertain = false;
        self.discontinuities += 1;
    }

    /// Time that goes on whatever is done to the wall clock.
    fn steady(&self, sample: ClockSample) -> SystemTime {
        let (at, elapsed) = self.anchor;
        at + sample.elapsed.saturating_sub(elapsed)
    }

    pub(super) fn now(&mut self, sample: ClockSample) -> SystemTime {
        shifted(self.steady(sample), self.correction)
    }

    /// Believes a date that is prompt and credible. Answers the new correction, if it is one.
    pub(super) fn learn(
        &mut self,
        date: SystemTime,
        sent: ClockSample,
        sample: ClockSample,
        is_authenticated: bool,
    ) -> Option<SignedDuration> {
        if self.is_authenticated && !is_authenticated {
            return None;
        }
        let took = sample.elapsed.saturating_sub(sent.elapsed);
        if took > MAX_ROUND_TRIP {
            return None;
        }
        // A date has lost its fraction of a second: half of one is the best guess.
        let aws = date + Duration::from_millis(500) + took / 2;
        let steady = self.steady(sample);
        let off = between(steady, aws);
        let since_measured = self.measured.map(|last| between(last.now(sample), aws));
        // Further off than that it is believed only from somebody who says the same as before: the clock was set.
        if off.abs() > MAX_CREDIBLE_SKEW && since_measured.is_none_or(|off| off.abs() > MAX_TOLERATED_SKEW) {
            return None;
        }
        self.is_authenticated |= is_authenticated;
        self.accept(aws, sample)
    }

    /// Takes this for AWS's time.
    pub(super) fn accept(&mut self, aws: SystemTime, sample: ClockSample) -> Option<SignedDuration> {
        let off = between(self.steady(sample), aws);
        self.is_uncertain = false;
        self.measured = Some(Measured { aws, elapsed: sample.elapsed });
        if (off - self.correction).abs() <= MIN_CORRECTION {
            return None;
        }
        self.correction = off;
        self.discontinuities += 1;
        Some(off)
    }

    pub(super) fn is_known(&self, sample: ClockSample) -> bool {
        let age = self.measured.map(|last| sample.elapsed.saturating_sub(last.elapsed));
        !self.is_uncertain && age.is_some_and(|age| age < MEASUREMENT_TTL)
    }

    pub(super) const fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// Whether the machine woke up this very moment.
    pub(super) fn is_waking(&self, sample: ClockSample) -> bool {
        self.woke.is_some_and(|woke| sample.elapsed.saturating_sub(woke) < WAKE_PERIOD)
    }

    /// How often the machine woke up, its clock was set, or it was corrected.
    pub(super) const fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    pub(super) fn status(&self, sample: ClockSample) -> Option<ClockStatus> {
        let measured = self.measured?;
        let skew = between(sample.wall, measured.now(sample));
        let age = sample.elapsed.saturating_sub(measured.elapsed);
        let measured = sample.wall.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(ClockStatus {
            skew_seconds: skew.as_secs(),
            measured: timestamp(measured),
            corrected: skew.abs() > MAX_TOLERATED_SKEW,
        })
    }
}

impl Measured {
    /// AWS's time now, by what it was and the time that has passed.
    fn now(&self, sample: ClockSample) -> SystemTime {
        self.aws + sample.elapsed.saturating_sub(self.elapsed)
    }
}

/// How far `to` is after `from`; negative if it is before.
pub(super) fn between(from: SystemTime, to: SystemTime) -> SignedDuration {
    let signed = |length: Duration| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    match to.duration_since(from) {
        Ok(ahead) => signed(ahead),
        Err(behind) => -signed(behind.duration()),
    }
}

pub(super) fn shifted(at: SystemTime, by: SignedDuration) -> SystemTime {
    let moved = if by.is_negative() { at.checked_sub(by.unsigned_abs()) } else { at.checked_add(by.unsigned_abs()) };
    moved.unwrap_or(at)
}
