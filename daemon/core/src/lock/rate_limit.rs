//! How fast passphrases can be tried (K1, row 104).
//!
//! Every process that may ask is the same user's, so twenty that ask are one who guesses: wrong passphrases are counted over all
//! of them, and each makes the time longer in which none is looked at. Who asks meanwhile waits, and is then looked at whatever
//! became of the others: so a right passphrase never waits longer than that time. Few may wait, and one of each program that
//! asks; the rest is told at once to come later.

use std::time::Duration;

/// The pause after the first wrong passphrase …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … doubled with each that follows, to this.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Wrong passphrases are forgotten this long after the last.
const FAILURES_TTL: Duration = Duration::from_mins(15);
/// How many may wait. In each pause no more are tried than these, however many ask.
pub(super) const MAX_WAITERS: usize = 4;

/// The program that asks: the id and the start of the process that runs the client, as far as they are known.
pub type ClientId = Option<(u32, u64)>;

/// What is remembered of those who tried.
#[derive(Debug, Default)]
pub(super) struct UnlockRateLimit {
    failures: u32,
    /// When the last wrong one was given, counted from boot.
    last: Duration,
    waiting: Vec<ClientId>,
}

/// The pause after so many wrong passphrases in a row.
#[must_use]
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(MAX_PAUSE),
    }
}

impl UnlockRateLimit {
    /// Takes a place. The answer is how long to wait with it; the error is how long there may be none.
    pub(super) fn enter(&mut self, client: ClientId, now: Duration) -> Result<Duration, Duration> {
        self.forget(now);
        let is_here = client.is_some() && self.waiting.contains(&client);
        if is_here || self.waiting.len() >= MAX_WAITERS {
            return Err(self.rest(now).max(FIRST_PAUSE));
        }
        self.waiting.push(client);
        Ok(self.rest(now))
    }

    /// Gives the place back.
    pub(super) fn leave(&mut self, client: ClientId) {
        if let Some(place) = self.waiting.iter().position(|other| *other == client) {
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
        if now.saturating_sub(self.last) >= FAILURES_TTL {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_hours(1);

    #[allow(clippy::unnecessary_wraps)] // as the product has it
    fn asking(pid: u32) -> ClientId {
        Some((pid, 7))
    }

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_ten() {
        let millis: Vec<u128> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(millis, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }

    #[test]
    fn whoever_comes_waits_for_the_pause_that_is_on_and_no_longer() {
        let mut attempts = UnlockRateLimit::default();
        assert_eq!(attempts.enter(asking(1), T0), Ok(Duration::ZERO));
        for _ in 0..20 {
            attempts.failed(T0);
        }
        assert_eq!(attempts.enter(asking(2), T0 + Duration::from_secs(4)), Ok(Duration::from_secs(6)));
        assert_eq!(attempts.enter(asking(3), T0 + MAX_PAUSE), Ok(Duration::ZERO));
        attempts.succeeded();
        assert_eq!(attempts.enter(asking(4), T0 + MAX_PAUSE), Ok(Duration::ZERO));
        assert_eq!(attempts.failed(T0 + MAX_PAUSE), FIRST_PAUSE);
    }

    #[test]
    fn row_104_few_may_wait_and_one_of_each_program() {
        let mut attempts = UnlockRateLimit::default();
        assert_eq!(attempts.enter(asking(1), T0), Ok(Duration::ZERO));
        assert_eq!(attempts.enter(asking(1), T0), Err(FIRST_PAUSE), "one at a time");
        for pid in 2..=4 {
            assert_eq!(attempts.enter(asking(pid), T0), Ok(Duration::ZERO));
        }
        assert_eq!(attempts.enter(asking(5), T0), Err(FIRST_PAUSE));
        attempts.leave(asking(9));
        assert_eq!(attempts.enter(asking(5), T0), Err(FIRST_PAUSE), "nobody has left");
        attempts.leave(asking(1));
        assert_eq!(attempts.enter(asking(5), T0), Ok(Duration::ZERO));
    }

    #[test]
    fn those_whom_nobody_knows_are_not_taken_for_one() {
        let mut attempts = UnlockRateLimit::default();
        for _ in 0..MAX_WAITERS {
            assert_eq!(attempts.enter(None, T0), Ok(Duration::ZERO));
        }
        assert_eq!(attempts.enter(None, T0), Err(FIRST_PAUSE));
        attempts.leave(None);
        assert_eq!(attempts.enter(None, T0), Ok(Duration::ZERO));
    }

    /// However many processes guess, and whether or not they wait for their answers.
    #[test]
    fn row_104_an_hour_of_guessing_is_some_thousand_guesses() {
        let (mut attempts, mut now, mut guesses) = (UnlockRateLimit::default(), T0, 0_u32);
        while now < T0 + Duration::from_hours(1) {
            let mut waits = Vec::new();
            while let Ok(wait) = attempts.enter(asking(guesses), now) {
                waits.push(wait);
                guesses += 1;
            }
            now += waits.into_iter().max().unwrap() + Duration::from_millis(1);
            for pid in guesses - 4..guesses {
                attempts.failed(now);
                attempts.leave(asking(pid));
            }
        }
        assert!((1000..1500).contains(&guesses), "{guesses}");
    }

    #[test]
    fn wrong_passphrases_are_forgotten_in_time() {
        let mut attempts = UnlockRateLimit::default();
        for _ in 0..9 {
            attempts.failed(T0);
        }
        assert_eq!(attempts.enter(None, T0 + FAILURES_TTL), Ok(Duration::ZERO));
        assert_eq!(attempts.failed(T0 + FAILURES_TTL), FIRST_PAUSE);
    }
}
