//! The rate limit of passphrase attempts (K1, fault matrix row 104).
//!
//! All clients belong to the same user, so wrong passphrases are counted over all of them. After each one, no passphrase is
//! checked for a pause that grows from 100 ms to 10 s. Up to four clients wait for the end of the pause and are then checked
//! independently of each other, so a right passphrase waits at most 10 s. A fifth client, and a second request of a client
//! that already waits, is rejected at once, so that one guessing program cannot occupy all places.

use std::time::Duration;

/// The pause after the first wrong passphrase. Each further one doubles it, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long after the last wrong passphrase the count starts again at zero.
const FAILURES_TTL: Duration = Duration::from_mins(15);
/// The limit of waiting clients, and so of attempts per pause.
pub(super) const MAX_WAITERS: usize = 4;

/// The client of a request: pid and start time of its process; `None` if they are unknown.
pub type ClientId = Option<(u32, u64)>;

/// The wrong passphrases so far and the waiting clients.
#[derive(Debug, Default)]
pub(super) struct UnlockRateLimit {
    failures: u32,
    /// When the last wrong passphrase was checked, as time since boot.
    last: Duration,
    waiting: Vec<ClientId>,
}

/// Returns the pause after `failures` wrong passphrases in a row.
#[must_use]
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(MAX_PAUSE),
    }
}

impl UnlockRateLimit {
    /// Adds a waiting client and returns how long it has to wait. Errors with the time after which it can try again if the
    /// client already waits or too many others do.
    pub(super) fn enter(&mut self, client: ClientId, now: Duration) -> Result<Duration, Duration> {
        self.expire_failures(now);
        let is_waiting = client.is_some() && self.waiting.contains(&client);
        if is_waiting || self.waiting.len() >= MAX_WAITERS {
            return Err(self.remaining_pause(now).max(FIRST_PAUSE));
        }
        self.waiting.push(client);
        Ok(self.remaining_pause(now))
    }

    /// Removes a waiting client.
    pub(super) fn leave(&mut self, client: ClientId) {
        if let Some(index) = self.waiting.iter().position(|other| *other == client) {
            self.waiting.swap_remove(index);
        }
    }

    /// Counts a wrong passphrase. Returns the pause before it is reported and the next one is checked.
    pub(super) fn record_failure(&mut self, now: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        pause(self.failures)
    }

    /// Sets the count of wrong passphrases to zero.
    pub(super) const fn record_success(&mut self) {
        self.failures = 0;
    }

    /// Returns the number of wrong passphrases in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the rest of the current pause.
    fn remaining_pause(&self, now: Duration) -> Duration {
        (self.last + pause(self.failures)).saturating_sub(now)
    }

    fn expire_failures(&mut self, now: Duration) {
        if now.saturating_sub(self.last) >= FAILURES_TTL {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_hours(1);

    #[allow(clippy::unnecessary_wraps)] // the type of the product
    fn client(pid: u32) -> ClientId {
        Some((pid, 7))
    }

    #[test]
    fn pause_doubles_up_to_ten_seconds() {
        let millis: Vec<u128> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(millis, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }

    #[test]
    fn waiting_time_is_the_rest_of_the_pause() {
        let mut attempts = UnlockRateLimit::default();
        assert_eq!(attempts.enter(client(1), T0), Ok(Duration::ZERO));
        for _ in 0..20 {
            attempts.record_failure(T0);
        }
        assert_eq!(attempts.enter(client(2), T0 + Duration::from_secs(4)), Ok(Duration::from_secs(6)));
        assert_eq!(attempts.enter(client(3), T0 + MAX_PAUSE), Ok(Duration::ZERO));
        attempts.record_success();
        assert_eq!(attempts.enter(client(4), T0 + MAX_PAUSE), Ok(Duration::ZERO));
        assert_eq!(attempts.record_failure(T0 + MAX_PAUSE), FIRST_PAUSE);
    }

    /// Fault matrix row 104.
    #[test]
    fn waiting_clients_are_few_and_distinct() {
        let mut attempts = UnlockRateLimit::default();
        assert_eq!(attempts.enter(client(1), T0), Ok(Duration::ZERO));
        assert_eq!(attempts.enter(client(1), T0), Err(FIRST_PAUSE), "one at a time");
        for pid in 2..=4 {
            assert_eq!(attempts.enter(client(pid), T0), Ok(Duration::ZERO));
        }
        assert_eq!(attempts.enter(client(5), T0), Err(FIRST_PAUSE));
        attempts.leave(client(9));
        assert_eq!(attempts.enter(client(5), T0), Err(FIRST_PAUSE), "an unknown client frees no place");
        attempts.leave(client(1));
        assert_eq!(attempts.enter(client(5), T0), Ok(Duration::ZERO));
    }

    #[test]
    fn waiting_unknown_clients_count_separately() {
        let mut attempts = UnlockRateLimit::default();
        for _ in 0..MAX_WAITERS {
            assert_eq!(attempts.enter(None, T0), Ok(Duration::ZERO));
        }
        assert_eq!(attempts.enter(None, T0), Err(FIRST_PAUSE));
        attempts.leave(None);
        assert_eq!(attempts.enter(None, T0), Ok(Duration::ZERO));
    }

    /// Fault matrix row 104. Holds for any number of processes, whether or not they wait for the result.
    #[test]
    fn an_hour_of_guessing_is_at_most_1500_attempts() {
        let (mut attempts, mut now, mut guesses) = (UnlockRateLimit::default(), T0, 0_u32);
        while now < T0 + Duration::from_hours(1) {
            let mut waits = Vec::new();
            while let Ok(wait) = attempts.enter(client(guesses), now) {
                waits.push(wait);
                guesses += 1;
            }
            now += waits.into_iter().max().unwrap() + Duration::from_millis(1);
            for pid in guesses - 4..guesses {
                attempts.record_failure(now);
                attempts.leave(client(pid));
            }
        }
        assert!((1000..1500).contains(&guesses), "{guesses}");
    }

    #[test]
    fn failures_expire_after_15_minutes() {
        let mut attempts = UnlockRateLimit::default();
        for _ in 0..9 {
            attempts.record_failure(T0);
        }
        assert_eq!(attempts.enter(None, T0 + FAILURES_TTL), Ok(Duration::ZERO));
        assert_eq!(attempts.record_failure(T0 + FAILURES_TTL), FIRST_PAUSE);
    }
}
