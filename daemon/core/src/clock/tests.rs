use jiff::SignedDuration;

use super::state::{MEASUREMENT_TTL, WAKE_PERIOD, between, shifted};
use super::*;

const T0: SystemTime = SystemTime::UNIX_EPOCH;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A machine in the hands of a test: the truth, what the wall clock makes of it, and how long it slept.
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

/// AWS answers at once.
fn answer(laptop: &Laptop, clock: &Clock) {
    clock.learn(laptop.truth(), clock.sample(), true);
}

fn off(laptop: &Laptop, clock: &Clock) -> i64 {
    between(laptop.truth(), clock.now()).as_secs()
}

#[test]
fn whole_seconds_and_no_panic_at_the_ends() {
    let at = T0 + Duration::from_millis(1_767_323_045_999);
    assert_eq!(timestamp(at).to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(timestamp(T0 - Duration::from_secs(9)), Timestamp::UNIX_EPOCH);
    assert_eq!(timestamp(T0 + Duration::from_secs(1 << 40)), Timestamp::MAX);
    assert_eq!(time_until(at, at - Duration::from_secs(1)), Duration::ZERO);
}

#[test]
fn a_clock_that_is_nearly_right_is_corrected_without_a_word() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_mins(3));
    answer(&laptop, &clock);
    assert_eq!(off(&laptop, &clock), 0);
    let status = clock.status().unwrap();
    assert_eq!((status.skew_seconds, status.corrected), (-179, false));
    assert_eq!(clock.stamp(clock.now()), timestamp(laptop.wall()));
}

#[test]
fn row_77_a_slow_clock_is_corrected_and_kubectl_is_told_its_own_time() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_mins(-7));
    assert_eq!(off(&laptop, &clock), -420, "nobody has said anything yet");
    answer(&laptop, &clock);
    assert_eq!(off(&laptop, &clock), 0);
    let status = clock.status().unwrap();
    assert_eq!((status.skew_seconds, status.corrected), (420, true));
    assert_eq!(clock.local(laptop.truth() + HOUR), laptop.wall() + HOUR - Duration::from_millis(500));
    // Set right by hand: there is nothing left to correct, and nothing to doubt.
    laptop.pass(HOUR);
    laptop.set(SignedDuration::from_mins(7));
    assert!(!clock.is_uncertain() && clock.is_known());
    assert_eq!(off(&laptop, &clock), 0);
    assert!(!clock.status().unwrap().corrected);
}

#[test]
fn row_78_a_date_that_cannot_be_is_ignored() {
    let (laptop, clock) = clock();
    answer(&laptop, &clock);
    clock.learn(T0, clock.sample(), true);
    clock.learn(laptop.truth() + 25 * HOUR, clock.sample(), true);
    let sent = clock.sample();
    laptop.pass(16 * MINUTE);
    clock.learn(laptop.truth() + HOUR, sent, true);
    assert_eq!(off(&laptop, &clock), 0);
}

#[test]
fn row_76_a_clock_that_is_set_back_changes_nothing() {
    let (laptop, clock) = clock();
    answer(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(-2));
    laptop.pass(MINUTE);
    assert_eq!(off(&laptop, &clock), 0);
    assert!(!clock.is_uncertain());
    assert_eq!(clock.stamp(laptop.truth()), timestamp(laptop.wall()));
    assert!(clock.status().unwrap().corrected);
    laptop.set(SignedDuration::from_hours(2));
    assert_eq!(off(&laptop, &clock), 0);
    assert!(!clock.is_uncertain(), "it is where it was");
}

#[test]
fn row_76_a_clock_that_is_set_forward_is_doubted_until_aws_answers() {
    for years in [0, 10] {
        let (laptop, clock) = clock();
        answer(&laptop, &clock);
        let ahead = SignedDuration::from_hours(2 + years * 8766);
        laptop.set(ahead);
        assert_eq!(off(&laptop, &clock), ahead.as_secs(), "the later time is the safe one");
        assert!(clock.is_uncertain());
        laptop.pass(Duration::from_secs(1));
        answer(&laptop, &clock);
        assert_eq!(off(&laptop, &clock), 0, "even ten years, since AWS agrees with the time that has passed");
        assert!(!clock.is_uncertain());
    }
}

#[test]
fn a_doubt_lasts_until_somebody_settles_it() {
    let (laptop, clock) = clock();
    answer(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(2));
    laptop.pass(HOUR);
    assert!(clock.is_uncertain() && !clock.is_known());
    assert_eq!(clock.snapshot(), None);
    answer(&laptop, &clock);
    assert!(clock.is_known() && !clock.is_uncertain());
    laptop.pass(MEASUREMENT_TTL);
    assert!(!clock.is_known(), "that was long ago");
}

#[test]
fn row_79_sleep_is_noticed_and_counts() {
    let (laptop, clock) = clock();
    answer(&laptop, &clock);
    let before = clock.discontinuities();
    laptop.sleep(3 * HOUR);
    assert!(clock.is_waking());
    assert_eq!(off(&laptop, &clock), 0);
    assert!(!clock.is_uncertain());
    assert_eq!(clock.discontinuities(), before + 1);
    laptop.pass(WAKE_PERIOD);
    assert!(!clock.is_waking());
    assert_eq!(clock.discontinuities(), before + 1);
    let awake = SystemClock.awake();
    assert!(SystemClock.elapsed() >= awake);
}

#[test]
fn the_next_run_of_the_program_knows_what_this_one_knew() {
    let (laptop, clock) = clock();
    answer(&laptop, &clock);
    laptop.set(SignedDuration::from_hours(-8766));
    let (aws, elapsed) = clock.snapshot().unwrap();
    laptop.pass(MINUTE);
    let next = Clock::new(laptop.clone());
    assert_eq!(next.snapshot(), None);
    next.resume(aws, elapsed);
    assert_eq!(off(&laptop, &next), 0);
    assert!(next.status().unwrap().corrected);
}

#[test]
fn before_aws_has_answered_the_wall_clock_is_all_there_is() {
    let (laptop, clock) = clock();
    laptop.set(SignedDuration::from_hours(8766));
    assert_eq!(off(&laptop, &clock), 8766 * 3600);
    laptop.set(SignedDuration::from_hours(-8766));
    assert_eq!(off(&laptop, &clock), 0);
    assert_eq!(clock.status(), None);
}

#[test]
fn row_78_whom_nobody_vouches_for_says_nothing_against_whom_somebody_does() {
    let (laptop, clock) = clock();
    clock.learn(laptop.truth() - 3 * HOUR, clock.sample(), false);
    assert!(off(&laptop, &clock) < -3 * 3599, "while there is nobody else");
    answer(&laptop, &clock);
    assert_eq!(off(&laptop, &clock), 0);
    clock.learn(laptop.truth() - 3 * HOUR, clock.sample(), false);
    assert_eq!(off(&laptop, &clock), 0);
}

#[test]
fn row_78_nobody_leads_the_clock_further_than_a_day() {
    let (laptop, clock) = clock();
    for step in 1..8 {
        clock.learn(laptop.truth() + 23 * HOUR * step, clock.sample(), true);
    }
    assert!(off(&laptop, &clock) <= 24 * 3600);
}
