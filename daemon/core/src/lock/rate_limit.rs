//! How fast passphrases can be tried (K1, row 104).
//!
//! Every process that may ask is the same user's, so twenty that ask are one who guesses: wrong passphrases are counted over all
//! of them, and each makes the time longer in which none is looked at. Who asks meanwhile waits, and is then looked at whatever
//! became of the others: so a right passphrase never waits longer than that time. Few may wait, and one of each program that
//! asks; the rest is told at once to come later.

use std::time::Duration;

/// The pause after the first wrong passphrase …
const FIRST: Duration = Duration::from_millis(100);
/// … doubled with each that follows, to this.
const MOST: Duration = Duration::from_secs(10);
/// Wrong passphrases are forgotten this long after the last.
const FORGOTTEN: Duration = Duration::from_mins(15);
/// How many may wait. In each pause no more are tried than these, however many ask.
pub(super) const PLACES: usize = 4;

/// The program that asks: the id and the start of the process that runs the client, as far as they are known.
pub type Asking = Option<(u32, u64)>;

/// What is remembered of those who tried.
#[derive(Debug, Default)]
pub(super) struct UnlockRateLimit {
    failures: u32,
    /// When the last wrong one was given, counted from boot.
    last: Duration,
    waiting: Vec<Asking>,
}

/// The pause after so many wrong passphrases in a row.
#[must_use]
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => FIRST.saturating_mul(1 << (failures - 1).min(8)).min(MOST),
    }
}

impl UnlockRateLimit {
    /// Takes a place. The answer is how long to wait with it; the error is how long there may be none.
    pub(super) fn enter(&mut self, asking: Asking, now: Duration) -> Result<Duration, Duration> {
        self.forget(now);
        let is_here = asking.is_some() && self.waiting.contains(&asking);
        if is_here || self.waiting.len() >= PLACES {
            return Err(self.rest(now).max(FIRST));
        }
        self.waiting.push(asking);
        Ok(self.rest(now))
    }

    /// Gives the place back.
    pub(super) fn leave(&mut self, asking: Asking) {
        if let Some(place) = self.waiting.iter().position(|other| *other == asking) {
            self.waiting.swap_remove(place);
        }
    }

    /// A wrong passphrase was given. The answer is how long nobody hears of it, nor tries another.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        pause(self.failures)
    }

    /// The right one was given.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many wrong ones were given in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// For how long none is looked at.
    fn rest(&self, now: Duration) -> Duration {
        (self.last + pause(self.failures)).saturating_sub(now)
    }

    fn forget(&mut self, now: Duration) {
        if now.saturating_sub(self.last) >= FORGOTTEN {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_hours(1);

    #[allow(clippy::unnecessary_wraps)] // as the product has it
    fn asking(pid: u32) -> Asking {
        Some((pid, 7))
    }

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_ten() {
        let millis: Vec<u128> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(millis, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), MOST);
    }

    #[test]
    fn whoever_comes_waits_for_the_pause_that_is_on_and_no_longer() {
        let mut pace = UnlockRateLimit::default();
        assert_eq!(pace.enter(asking(1), T0), Ok(Duration::ZERO));
        for _ in 0..20 {
            pace.failed(T0);
        }
        assert_eq!(pace.enter(asking(2), T0 + Duration::from_secs(4)), Ok(Duration::from_secs(6)));
        assert_eq!(pace.enter(asking(3), T0 + MOST), Ok(Duration::ZERO));
        pace.succeeded();
        assert_eq!(pace.enter(asking(4), T0 + MOST), Ok(Duration::ZERO));
        assert_eq!(pace.failed(T0 + MOST), FIRST);
    }

    #[test]
    fn row_104_few_may_wait_and_one_of_each_program() {
        let mut pace = UnlockRateLimit::default();
        assert_eq!(pace.enter(asking(1), T0), Ok(Duration::ZERO));
        assert_eq!(pace.enter(asking(1), T0), Err(FIRST), "one at a time");
        for pid in 2..=4 {
            assert_eq!(pace.enter(asking(pid), T0), Ok(Duration::ZERO));
        }
        assert_eq!(pace.enter(asking(5), T0), Err(FIRST));
        pace.leave(asking(9));
        assert_eq!(pace.enter(asking(5), T0), Err(FIRST), "nobody has left");
        pace.leave(asking(1));
        assert_eq!(pace.enter(asking(5), T0), Ok(Duration::ZERO));
    }

    #[test]
    fn those_whom_nobody_knows_are_not_taken_for_one() {
        let mut pace = UnlockRateLimit::default();
        for _ in 0..PLACES {
            assert_eq!(pace.enter(None, T0), Ok(Duration::ZERO));
        }
        assert_eq!(pace.enter(None, T0), Err(FIRST));
        pace.leave(None);
        assert_eq!(pace.enter(None, T0), Ok(Duration::ZERO));
    }

    /// However many processes guess, and whether or not they wait for their answers.
    #[test]
    fn row_104_an_hour_of_guessing_is_some_thousand_guesses() {
        let (mut pace, mut now, mut guesses) = (UnlockRateLimit::default(), T0, 0_u32);
        while now < T0 + Duration::from_hours(1) {
            let mut waits = Vec::new();
            while let Ok(wait) = pace.enter(asking(guesses), now) {
                waits.push(wait);
                guesses += 1;
            }
            now += waits.into_iter().max().unwrap() + Duration::from_millis(1);
            for pid in guesses - 4..guesses {
                pace.failed(now);
                pace.leave(asking(pid));
            }
        }
        assert!((1000..1500).contains(&guesses), "{guesses}");
    }

    #[test]
    fn wrong_passphrases_are_forgotten_in_time() {
        let mut pace = UnlockRateLimit::default();
        for _ in 0..9 {
            pace.failed(T0);
        }
        assert_eq!(pace.enter(None, T0 + FORGOTTEN), Ok(Duration::ZERO));
        assert_eq!(pace.failed(T0 + FORGOTTEN), FIRST);
    }
}
