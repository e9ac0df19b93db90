use jiff::SignedDuration;

use super::state::{MEASUREMENT_TTL, WAKE_PERIOD, shifted, signed_duration};
use super::*;

const T0: SystemTime = SystemTime::UNIX_EPOCH;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The clocks of a test: the true time since boot, the error of the wall clock, and the time asleep.
#[derive(Debug, Clone, Default)]
struct Laptop(Arc<Mutex<(Duration, SignedDuration, Duration)>>);

impl Laptop {
    fn pass(&self, time: Duration) {
        self.0.lock().unwrap().0 += time;
    }

    fn sleep(&self, time: Duration) {
        self.pass(time);
        self.0.lock().unwrap().2 += time;
    }

    fn set(&self, by: SignedDuration) {
        self.0.lock().unwrap().1 += by;
    }

    fn truth(&self) -> SystemTime {
        T0 + 1_000_000 * HOUR + self.0.lock().unwrap().0
    }
}

impl ClockSource for Laptop {
    fn wall(&self) -> SystemTime {
        shifted(self.truth(), self.0.lock().unwrap().1)
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn awake(&self) -> Duration {
        let (elapsed, _, asleep) = *self.0.lock().unwrap();
        elapsed.saturating_sub(asleep)
    }
}

fn clock() -> (Laptop, Clock) {
    let laptop = Laptop::default();
    (laptop.clone(), Clock::new(laptop))
}

/// Delivers a correct date of AWS without delay.
fn receive_date(laptop: &Laptop, clock: &Clock) {
    clock.learn(laptop.truth(), clock.sample(), true);
}

/// Returns the error of the clock in seconds.
fn error_seconds(laptop: &Laptop, clock: &Clock) -> i64 {
    signed_duration(laptop.truth(), clock.now()).as_secs()
}

#[test]
fn timestamp_out_of_range_is_clamped() {
    let at = T0 + Duration::from_millis(1_767_323_045_999);
    assert_eq!(timestamp(at).to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(timestamp(T0 - Duration::from_secs(9)), Timestamp::UNIX_EPOCH);
    assert_eq!(timestamp(T0 + Duration::from_secs(1 << 40)), Timestamp::MAX);
    assert_eq!(time_until(at, at - Duration::from_secs(1)), Duration::ZERO);
}

#[test]
fn clock_small_skew_corrected_and_not_reported() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_mins(3));
    receive_date(&laptop, &clock);
    assert_eq!(error_seconds(&laptop, &clock), 0);
    let status = clock.status().unwrap();
    assert_eq!((status.skew_seconds, status.corrected), (-179, false));
    assert_eq!(clock.stamp(clock.now()), timestamp(laptop.wall()));
}

/// Fault matrix row 77.
#[test]
fn clock_slow_corrected_and_stamp_is_local() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_mins(-7));
    assert_eq!(error_seconds(&laptop, &clock), -420, "no date has arrived yet");
    receive_date(&laptop, &clock);
    assert_eq!(error_seconds(&laptop, &clock), 0);
    let status = clock.status().unwrap();
    assert_eq!((status.skew_seconds, status.corrected), (420, true));
    assert_eq!(clock.local(laptop.truth() + HOUR), laptop.wall() + HOUR - Duration::from_millis(500));
    // The user sets the clock right: no correction and no uncertainty remain.
    laptop.pass(HOUR);
    laptop.set(SignedDuration::from_mins(7));
    assert!(!clock.is_uncertain() && clock.is_known());
    assert_eq!(error_seconds(&laptop, &clock), 0);
    assert!(!clock.status().unwrap().corrected);
}

/// Fault matrix row 78.
#[test]
fn date_late_or_not_credible_ignored() {
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    clock.learn(T0, clock.sample(), true);
    clock.learn(laptop.truth() + 25 * HOUR, clock.sample(), true);
    let sent = clock.sample();
    laptop.pass(16 * MINUTE);
    clock.learn(laptop.truth() + HOUR, sent, true);
    assert_eq!(error_seconds(&laptop, &clock), 0);
}

/// Fault matrix row 76.
#[test]
fn clock_set_back_time_continues() {
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(-2));
    laptop.pass(MINUTE);
    assert_eq!(error_seconds(&laptop, &clock), 0);
    assert!(!clock.is_uncertain());
    assert_eq!(clock.stamp(laptop.truth()), timestamp(laptop.wall()));
    assert!(clock.status().unwrap().corrected);
    laptop.set(SignedDuration::from_hours(2));
    assert_eq!(error_seconds(&laptop, &clock), 0);
    assert!(!clock.is_uncertain(), "it is set to the time before");
}

/// Fault matrix row 76. Sessions expire by AWS's time to the second, so a small error counts too.
#[test]
fn clock_set_back_by_minutes_time_continues() {
    for seconds in [31, 180, 239] {
        let (laptop, clock) = clock();
        receive_date(&laptop, &clock);
        laptop.set(SignedDuration::from_secs(-seconds));
        laptop.pass(MINUTE);
        assert_eq!(error_seconds(&laptop, &clock), 0, "set back by {seconds} s");
        laptop.set(SignedDuration::from_secs(seconds));
        assert_eq!(error_seconds(&laptop, &clock), 0, "set to the time before");
    }
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    laptop.set(SignedDuration::from_mins(3));
    assert_eq!(error_seconds(&laptop, &clock), 180, "the later time is the safe one");
    let (laptop, clock) = self::clock();
    receive_date(&laptop, &clock);
    laptop.pass(MEASUREMENT_TTL);
    laptop.set(SignedDuration::from_mins(-3));
    assert_eq!(error_seconds(&laptop, &clock), -180, "the date is too old");
}

/// Fault matrix row 76.
#[test]
fn clock_set_forward_uncertain_until_next_date() {
    for years in [0, 10] {
        let (laptop, clock) = clock();
        receive_date(&laptop, &clock);
        let ahead = SignedDuration::from_hours(2 + years * 8766);
        laptop.set(ahead);
        assert_eq!(error_seconds(&laptop, &clock), ahead.as_secs(), "the later time is the safe one");
        assert!(clock.is_uncertain());
        laptop.pass(Duration::from_secs(1));
        receive_date(&laptop, &clock);
        assert_eq!(error_seconds(&laptop, &clock), 0, "even ten years: the date agrees with the elapsed time");
        assert!(!clock.is_uncertain());
    }
}

#[test]
fn uncertainty_lasts_until_next_date() {
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(2));
    laptop.pass(HOUR);
    assert!(clock.is_uncertain() && !clock.is_known());
    assert_eq!(clock.snapshot(), None);
    receive_date(&laptop, &clock);
    assert!(clock.is_known() && !clock.is_uncertain());
    laptop.pass(MEASUREMENT_TTL);
    assert!(!clock.is_known(), "the date is too old");
}

/// Fault matrix row 79.
#[test]
fn sleep_detected_and_counted() {
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    let before = clock.discontinuities();
    laptop.sleep(3 * HOUR);
    assert!(clock.is_waking());
    assert_eq!(error_seconds(&laptop, &clock), 0);
    assert!(!clock.is_uncertain());
    assert_eq!(clock.discontinuities(), before + 1);
    laptop.pass(WAKE_PERIOD);
    assert!(!clock.is_waking());
    assert_eq!(clock.discontinuities(), before + 1);
    let awake = SystemClock.awake();
    assert!(SystemClock.elapsed() >= awake);
}

#[test]
fn snapshot_resumed_keeps_correction() {
    let (laptop, clock) = clock();
    receive_date(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(-8766));
    let (aws, elapsed) = clock.snapshot().unwrap();
    laptop.pass(MINUTE);
    let next = Clock::new(laptop.clone());
    assert_eq!(next.snapshot(), None);
    next.resume(aws, elapsed);
    assert_eq!(error_seconds(&laptop, &next), 0);
    assert!(next.status().unwrap().corrected);
}

#[test]
fn clock_without_date_follows_wall_clock() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_hours(8766));
    assert_eq!(error_seconds(&laptop, &clock), 8766 * 3600);
    laptop.set(SignedDuration::from_hours(-8766));
    assert_eq!(error_seconds(&laptop, &clock), 0);
    assert_eq!(clock.status(), None);
}

/// Fault matrix row 78.
#[test]
fn date_unauthenticated_ignored_after_tls_date() {
    let (laptop, clock) = clock();
    clock.learn(laptop.truth() - 3 * HOUR, clock.sample(), false);
    assert!(error_seconds(&laptop, &clock) < -3 * 3599, "without a date over TLS");
    receive_date(&laptop, &clock);
    assert_eq!(error_seconds(&laptop, &clock), 0);
    clock.learn(laptop.truth() - 3 * HOUR, clock.sample(), false);
    assert_eq!(error_seconds(&laptop, &clock), 0);
}

/// Fault matrix row 78.
#[test]
fn dates_repeated_move_clock_at_most_a_day() {
    let (laptop, clock) = clock();
    for step in 1..8 {
        clock.learn(laptop.truth() + 23 * HOUR * step, clock.sample(), true);
    }
    assert!(error_seconds(&laptop, &clock) <= 24 * 3600);
}
