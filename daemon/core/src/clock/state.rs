//! Detects sleep, a wall clock that was set, and AWS's time from samples of the clocks. Nothing here reads a clock.

use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use rolecall_protocol::ClockStatus;

use super::{ClockSample, timestamp};

/// A skew up to this is not reported as corrected: AWS accepts signatures that are off by 5 min (B9).
const MAX_TOLERATED_SKEW: SignedDuration = SignedDuration::from_mins(4);
/// The correction changes only by more than this, because a `Date` has whole seconds and a response takes time. It is
/// smaller than [`MAX_TOLERATED_SKEW`] because sessions expire by AWS's time to the second.
const MIN_CORRECTION: SignedDuration = SignedDuration::from_secs(5);
/// A `Date` that is further off than this is ignored as an error of the server.
const MAX_CREDIBLE_SKEW: SignedDuration = SignedDuration::from_hours(24);
/// A `Date` whose response took longer than this is ignored, because half of that time is its error. Attempts take at most
/// 5 s.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// How long a `Date` of AWS counts as known. Clocks drift.
pub(super) const MEASUREMENT_TTL: Duration = Duration::from_hours(6);
/// A wall clock that differs from the steady time by more than this was set; a smaller difference is an adjustment.
const MIN_CLOCK_STEP: SignedDuration = SignedDuration::from_secs(30);
/// If the time asleep grows by more than this, the machine has slept (B10).
const MIN_SLEEP: Duration = Duration::from_secs(10);
/// How long after a wake-up the network may not be up yet (B10).
pub(super) const WAKE_PERIOD: Duration = Duration::from_secs(10);

/// The state of a clock: a pure function of the samples.
#[derive(Debug)]
pub(super) struct ClockState {
    /// The origin of the steady time: the wall clock at a value of `elapsed`.
    anchor: (SystemTime, Duration),
    /// AWS's time minus the steady time.
    correction: SignedDuration,
    /// The last `Date` of AWS.
    measured: Option<Measured>,
    /// Whether a date came over TLS.
    is_authenticated: bool,
    /// Whether the wall clock was set forward and no date of AWS has confirmed it.
    is_uncertain: bool,
    /// The time asleep since boot, as of the last sample.
    asleep: Duration,
    /// When the machine last woke up, as `elapsed`.
    woke: Option<Duration>,
    /// How often the machine woke up or its clock was set or corrected.
    discontinuities: u64,
}

/// A `Date` of AWS and when it arrived.
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

    /// Detects sleep and a wall clock that was set.
    pub(super) fn observe(&mut self, sample: ClockSample) {
        let asleep = sample.elapsed.saturating_sub(sample.awake);
        if asleep > self.asleep + MIN_SLEEP {
            self.woke = Some(sample.elapsed);
            self.discontinuities += 1;
        }
        self.asleep = asleep;
        let moved = signed_duration(self.steady(sample), sample.wall);
        if moved.abs() <= MIN_CLOCK_STEP {
            // An adjustment, for example by NTP: follow the wall clock.
            self.anchor = (sample.wall, sample.elapsed);
        } else {
            self.wall_clock_set(sample, moved.is_positive());
        }
    }

    /// Decides whether to follow a wall clock that was set.
    fn wall_clock_set(&mut self, sample: ClockSample, is_forward: bool) {
        match self.measured.map(|last| signed_duration(last.now(sample), sample.wall)) {
            // It was set to about AWS's time. If it is behind, that is kept as the correction: otherwise a session would be served
            // after its expiry. The later time is the safe one.
            Some(off) if off.abs() <= MAX_TOLERATED_SKEW => {
                let is_behind = self.is_known(sample) && off < -MIN_CORRECTION;
                self.follow(sample);
                if is_behind {
                    self.correction = -off;
                }
            }
            // AWS's time is not known.
            None => self.follow(sample),
            // It was set to a wrong time, or this machine slept without notice. The later time is the safe one: a session
            // that may have expired is not used.
            Some(_) if is_forward => {
                self.follow(sample);
                self.is_uncertain = true;
                self.woke = Some(sample.elapsed);
            }
            // It was set back. The elapsed time is correct, so the wall clock is not followed.
            Some(_) => {}
        }
    }

    /// Accepts the wall clock as correct.
    fn follow(&mut self, sample: ClockSample) {
        self.anchor = (sample.wall, sample.elapsed);
        self.correction = SignedDuration::ZERO;
        self.is_uncertain = false;
        self.discontinuities += 1;
    }

    /// Returns a time that continues when the wall clock is set.
    fn steady(&self, sample: ClockSample) -> SystemTime {
        let (at, elapsed) = self.anchor;
        at + sample.elapsed.saturating_sub(elapsed)
    }

    /// Returns the best estimate of AWS's time.
    pub(super) fn now(&mut self, sample: ClockSample) -> SystemTime {
        shifted(self.steady(sample), self.correction)
    }

    /// Accepts a date that arrived in time and is credible. Returns the new correction if it changed.
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
        // A date has no fraction of a second: half a second is the best guess.
        let aws = date + Duration::from_millis(500) + took / 2;
        let steady = self.steady(sample);
        let off = signed_duration(steady, aws);
        let since_measured = self.measured.map(|last| signed_duration(last.now(sample), aws));
        // A date that is further off is accepted only if it agrees with the last date of AWS: then the wall clock was set.
        if off.abs() > MAX_CREDIBLE_SKEW && since_measured.is_none_or(|off| off.abs() > MAX_TOLERATED_SKEW) {
            return None;
        }
        self.is_authenticated |= is_authenticated;
        self.accept(aws, sample)
    }

    /// Accepts this as AWS's time. Returns the new correction if it changed.
    pub(super) fn accept(&mut self, aws: SystemTime, sample: ClockSample) -> Option<SignedDuration> {
        let off = signed_duration(self.steady(sample), aws);
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

    /// Returns whether the machine woke up within [`WAKE_PERIOD`].
    pub(super) fn is_waking(&self, sample: ClockSample) -> bool {
        self.woke.is_some_and(|woke| sample.elapsed.saturating_sub(woke) < WAKE_PERIOD)
    }

    pub(super) const fn discontinuities(&self) -> u64 {
        self.discontinuities
    }

    pub(super) fn status(&self, sample: ClockSample) -> Option<ClockStatus> {
        let measured = self.measured?;
        let skew = signed_duration(sample.wall, measured.now(sample));
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
    /// Returns AWS's time now: the date plus the elapsed time.
    fn now(&self, sample: ClockSample) -> SystemTime {
        self.aws + sample.elapsed.saturating_sub(self.elapsed)
    }
}

/// Returns the time from `from` to `to`; negative if `to` is before `from`.
pub(super) fn signed_duration(from: SystemTime, to: SystemTime) -> SignedDuration {
    let signed = |length: Duration| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    match to.duration_since(from) {
        Ok(ahead) => signed(ahead),
        Err(behind) => -signed(behind.duration()),
    }
}

/// Returns `at` plus `by`; `at` itself if the sum is out of range.
pub(super) fn shifted(at: SystemTime, by: SignedDuration) -> SystemTime {
    let moved = if by.is_negative() { at.checked_sub(by.unsigned_abs()) } else { at.checked_add(by.unsigned_abs()) };
    moved.unwrap_or(at)
}
