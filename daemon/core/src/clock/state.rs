//! What is made of the clocks' readings: sleep, a clock that was set, AWS's time. Nothing in here reads a clock.

use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use rolecall_protocol::ClockStatus;

use super::{ClockSample, timestamp};

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
pub(super) const KNOWN: Duration = Duration::from_hours(6);
/// A wall clock that moves by more than this beside the time that has passed was set, rather than adjusted.
const SET: SignedDuration = SignedDuration::from_secs(30);
/// Time that passed while the processor stood still, by more than this, was sleep (B10).
const ASLEEP: Duration = Duration::from_secs(10);
/// For how long after waking up the network may still be on its way (B10).
pub(super) const WAKING: Duration = Duration::from_secs(10);

/// What is known of the clocks: a pure function of readings.
#[derive(Debug)]
pub(super) struct State {
    /// Steady time: what it showed at that reading of `elapsed`.
    anchor: (SystemTime, Duration),
    /// What is added to steady time.
    correction: SignedDuration,
    /// What AWS said last.
    measured: Option<Measured>,
    /// Whether somebody vouched for what AWS said.
    is_authenticated: bool,
    /// Whether the wall clock was set forward and nobody knows whether rightly.
    is_uncertain: bool,
    /// How much of `elapsed` was slept through, as of the last reading.
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

impl State {
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
    pub(super) fn take_in(&mut self, reading: ClockSample) {
        let asleep = reading.elapsed.saturating_sub(reading.awake);
        if asleep > self.asleep + ASLEEP {
            self.woke = Some(reading.elapsed);
            self.discontinuities += 1;
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
    fn set(&mut self, reading: ClockSample, is_forward: bool) {
        match self.measured.map(|last| between(last.now(reading), reading.wall)) {
            // To what AWS said: it was wrong, and is right now. Or nobody has said anything yet.
            Some(off) if off.abs() <= BEARABLE => self.follow(reading),
            None => self.follow(reading),
            // Wrong after a right time, or this machine stood still and did not notice. Later is the safe side: what may be
            // over is not used.
            Some(_) if is_forward => {
                self.follow(reading);
                self.is_uncertain = true;
                self.woke = Some(reading.elapsed);
            }
            // Set back: the time that has passed is no less for that, so the wall clock is not followed.
            Some(_) => {}
        }
    }

    /// From here on the wall clock is right.
    fn follow(&mut self, reading: ClockSample) {
        self.anchor = (reading.wall, reading.elapsed);
        self.correction = SignedDuration::ZERO;
        self.is_uncertain = false;
        self.discontinuities += 1;
    }

    /// Time that goes on whatever is done to the wall clock.
    fn steady(&self, reading: ClockSample) -> SystemTime {
        let (at, elapsed) = self.anchor;
        at + reading.elapsed.saturating_sub(elapsed)
    }

    pub(super) fn now(&mut self, reading: ClockSample) -> SystemTime {
        shifted(self.steady(reading), self.correction)
    }

    /// Believes a date that is prompt and credible. Answers the new correction, if it is one.
    pub(super) fn learn(
        &mut self,
        date: SystemTime,
        sent: ClockSample,
        reading: ClockSample,
        is_authenticated: bool,
    ) -> Option<SignedDuration> {
        if self.is_authenticated && !is_authenticated {
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
        self.is_authenticated |= is_authenticated;
        self.believe(aws, reading)
    }

    /// Takes this for AWS's time.
    pub(super) fn believe(&mut self, aws: SystemTime, reading: ClockSample) -> Option<SignedDuration> {
        let off = between(self.steady(reading), aws);
        self.is_uncertain = false;
        self.measured = Some(Measured { aws, elapsed: reading.elapsed });
        if (off - self.correction).abs() <= NOISE {
            return None;
        }
        self.correction = off;
        self.discontinuities += 1;
        Some(off)
    }

    pub(super) fn is_known(&self, reading: ClockSample) -> bool {
        let age = self.measured.map(|last| reading.elapsed.saturating_sub(last.elapsed));
        !self.is_uncertain && age.is_some_and(|age| age < KNOWN)
    }

    pub(super) const fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// Whether the machine woke up this very moment.
    pub(super) fn is_waking(&self, reading: ClockSample) -> bool {
        self.woke.is_some_and(|woke| reading.elapsed.saturating_sub(woke) < WAKING)
    }

    /// How often the machine woke up, its clock was set, or it was corrected.
    pub(super) const fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    pub(super) fn status(&self, reading: ClockSample) -> Option<ClockStatus> {
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
    fn now(&self, reading: ClockSample) -> SystemTime {
        self.aws + reading.elapsed.saturating_sub(self.elapsed)
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
