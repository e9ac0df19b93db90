//! Stops calls to an endpoint that keeps failing (B6).
//!
//! After five failures in a row the breaker opens: callers get the last failure without a call. When the open time has
//! passed, one caller probes the endpoint. Callers that arrive during the probe wait up to one second for its result, so
//! that they do not fail although the endpoint works again.
//!
//! A refresh of a session that is still usable can wait longer. All refreshes at a failing endpoint share one probe, with
//! pauses that grow with the outage ([`RefreshPermit`]). `cargo measure fleet` measures the calls of a company's laptops during
//! an outage of STS and after it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::time_until;

/// The number of failures in a row that opens the breaker.
const MAX_FAILURES: u32 = 5;
/// The longest open time. The actual time is random, at least half of it, so that many daemons do not probe at once.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// How long callers wait for the result of a probe. An endpoint that works answers within this time.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// The shortest pause between refreshes at a failing endpoint, without its random part.
const MIN_REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between refreshes at a failing endpoint, without its random part. The first successful probe of each
/// laptop after an outage is a call, so a shorter pause makes a higher peak of calls then.
const MAX_REFRESH_PAUSE: Duration = Duration::from_mins(8);
/// The longest open time that an endpoint can request (Retry-After).
pub const MAX_OPEN_FOR: Duration = Duration::from_mins(1);

/// The circuit breakers of the process, by endpoint. `E` is the error of a failed call.
#[derive(Debug)]
pub struct CircuitBreakers<K, E>(Mutex<HashMap<K, Breaker<E>>>);

/// The breaker of one endpoint with at least one failure.
#[derive(Debug)]
struct Breaker<E> {
    failures: u32,
    /// When the first of these failures happened.
    failing_since: SystemTime,
    /// When the last of them happened.
    failed_at: SystemTime,
    /// When the next refresh is allowed.
    refresh_at: SystemTime,
    open: Option<OpenState<E>>,
}

/// The time in which an open breaker rejects calls.
#[derive(Debug)]
struct OpenState<E> {
    since: SystemTime,
    until: SystemTime,
    failure: Arc<E>,
    /// The running probe. The token is cancelled when the probe has a result.
    probe: Option<(CancellationToken, DropGuard)>,
}

/// Whether a session that is still usable may be refreshed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshPermit {
    /// The endpoint answers.
    Allowed,
    /// The endpoint failed. This refresh finds out whether it answers again; other refreshes wait for its result.
    Probe,
    /// The endpoint fails: not before this time.
    Wait(SystemTime),
}

/// The error of an open breaker: the call was not made.
#[derive(Debug, Clone)]
pub struct CircuitOpen<E> {
    /// The error of the last call.
    pub failure: Arc<E>,
    /// The time until the next call is allowed.
    pub retry_after: Duration,
    /// The running probe, and how long to wait for its result.
    probe: Option<(CancellationToken, Duration)>,
}

impl<K: Eq + Hash + Clone, E> CircuitBreakers<K, E> {
    /// Returns breakers that are all closed.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Errors if the breaker of the endpoint is open. Never starts a probe, so the caller must not call the endpoint.
    pub fn peek(&self, key: &K, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        self.breakers().get(key).map_or(Ok(()), |breaker| breaker.peek(now))
    }

    /// Errors if the breaker of the endpoint is open; otherwise the caller may call the endpoint. When the open time has
    /// passed, the first caller becomes the probe and the breaker stays open for the others.
    pub fn try_acquire(&self, key: &K, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        match self.breakers().get_mut(key) {
            Some(breaker) => breaker.try_acquire(now),
            None => Ok(()),
        }
    }

    /// Returns whether a session that is still usable may be refreshed now. Counts a [`RefreshPermit::Probe`] as started.
    pub fn refresh_permit(&self, key: &K, now: SystemTime) -> RefreshPermit {
        self.breakers().get_mut(key).map_or(RefreshPermit::Allowed, |breaker| breaker.refresh_permit(now))
    }

    /// Repeats `check`, which is [`Self::peek`] or [`Self::try_acquire`], until no probe is running. Waits up to one second
    /// for a probe and errors if it has no result by then.
    pub async fn acquire_when_closed(
        &self,
        check: impl Fn(&Self) -> Result<(), CircuitOpen<E>>,
    ) -> Result<(), CircuitOpen<E>> {
        loop {
            let Err(mut open) = check(self) else { return Ok(()) };
            let Some((probe, wait)) = open.probe.take() else { return Err(open) };
            if tokio::time::timeout(wait, probe.cancelled()).await.is_err() {
                return Err(open);
            }
        }
    }

    /// Closes the breaker: the endpoint answered, with a result or an error of its own.
    pub fn record_success(&self, key: &K) {
        self.breakers().remove(key);
    }

    /// Counts a failure of the endpoint and opens the breaker if it is one too many, if the probe failed, or if the endpoint
    /// requested a pause (`retry_after`). `jitter` is a random number from 0 to 1.
    pub fn record_failure(&self, key: &K, failure: E, retry_after: Option<Duration>, now: SystemTime, jitter: f64) {
        let mut breakers = self.breakers();
        let closed = Breaker { failures: 0, failing_since: now, failed_at: now, refresh_at: now, open: None };
        let breaker = breakers.entry(key.clone()).or_insert(closed);
        breaker.record_failure(failure, retry_after, now, jitter);
    }

    /// Closes every breaker except those whose last failure satisfies `keep`. For a wake-up or another network, where the
    /// old failures say nothing.
    pub fn reset(&self, keep: impl Fn(&E) -> bool) {
        self.breakers().retain(|_, breaker| breaker.open.as_ref().is_some_and(|open| keep(&open.failure)));
    }

    /// Ends the open time and the pause of refreshes of every breaker whose key satisfies `ends`, except those whose last
    /// failure satisfies `keep`: the next caller becomes the probe. A running probe goes on. For a user who asks again, and
    /// for changed settings.
    pub fn allow_probe(&self, ends: impl Fn(&K) -> bool, keep: impl Fn(&E) -> bool, now: SystemTime) {
        for (_, breaker) in self.breakers().iter_mut().filter(|(key, _)| ends(key)) {
            if let Some(open) = breaker.open.as_mut().filter(|open| open.probe.is_none() && !keep(&open.failure)) {
                open.until = open.until.min(now);
                breaker.refresh_at = breaker.refresh_at.min(now);
            }
        }
    }

    fn breakers(&self) -> MutexGuard<'_, HashMap<K, Breaker<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, E> Default for CircuitBreakers<K, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Breaker<E> {
    fn peek(&self, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        match &self.open {
            // If `since` is in the future, the clock was set back: the breaker counts as closed.
            Some(open) if open.since <= now && now < open.until => {
                let wait = time_until(now, open.since + PROBE_WAIT);
                let probe = open.probe.as_ref().map(|(probe, _)| (probe.clone(), wait));
                Err(CircuitOpen { failure: Arc::clone(&open.failure), retry_after: time_until(now, open.until), probe })
            }
            _ => Ok(()),
        }
    }

    fn try_acquire(&mut self, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        self.peek(now)?;
        if let Some(open) = &mut self.open {
            // This caller is the probe. If it never reports a result, the next probe starts after the open time.
            (open.since, open.until) = (now, now + OPEN_FOR);
            let probe = CancellationToken::new();
            open.probe = Some((probe.clone(), probe.drop_guard()));
        }
        Ok(())
    }

    fn refresh_permit(&mut self, now: SystemTime) -> RefreshPermit {
        // If the failure is in the future, the clock was set back.
        if self.failed_at <= now && now < self.refresh_at {
            return RefreshPermit::Wait(self.refresh_at);
        }
        (self.failed_at, self.refresh_at) = (now, now + OPEN_FOR);
        RefreshPermit::Probe
    }

    fn record_failure(&mut self, failure: E, retry_after: Option<Duration>, now: SystemTime, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
        self.refresh_at = now + self.refresh_pause(now, jitter).max(retry_after.unwrap_or_default());
        let open_for = match retry_after {
            Some(requested) => requested,
            // A failed probe opens the breaker again at once.
            None if self.failures >= MAX_FAILURES || self.open.as_ref().is_some_and(|open| open.probe.is_some()) => {
                OPEN_FOR.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
            }
            None => return,
        };
        self.refresh_at = self.refresh_at.max(now + open_for);
        self.open = Some(OpenState { since: now, until: now + open_for, failure: Arc::new(failure), probe: None });
    }

    /// Returns the pause after a failure: as long as the endpoint has failed so far, within the limits, of which a random
    /// part of up to a half is left out. So the end of an outage is noticed after at most the outage's own length.
    fn refresh_pause(&self, now: SystemTime, jitter: f64) -> Duration {
        let failing = time_until(self.failing_since, now);
        failing.clamp(MIN_REFRESH_PAUSE, MAX_REFRESH_PAUSE).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const SECOND: Duration = Duration::from_secs(1);

    fn failing(failures: u32) -> CircuitBreakers<u8, &'static str> {
        let breakers = CircuitBreakers::new();
        for _ in 0..failures {
            breakers.record_failure(&1, "down", None, T0, 0.0);
        }
        breakers
    }

    #[test]
    fn breaker_opens_after_failures_in_a_row() {
        assert!(failing(MAX_FAILURES - 1).try_acquire(&1, T0).is_ok());
        let breakers = failing(MAX_FAILURES);
        let open = breakers.try_acquire(&1, T0).unwrap_err();
        assert_eq!((*open.failure, open.retry_after), ("down", OPEN_FOR / 2));
        assert!(breakers.try_acquire(&2, T0).is_ok(), "other endpoints are not affected");
    }

    #[test]
    fn breaker_open_time_passed_one_caller_probes() {
        let breakers = failing(MAX_FAILURES);
        let later = T0 + OPEN_FOR / 2;
        assert!(breakers.try_acquire(&1, later).is_ok());
        assert!(breakers.try_acquire(&1, later).is_err());
        breakers.record_failure(&1, "still", None, later, 1.0);
        assert_eq!(breakers.try_acquire(&1, later).unwrap_err().retry_after, OPEN_FOR);
        // A probe without a result does not block the next one.
        assert!(breakers.try_acquire(&1, later + OPEN_FOR).is_ok());
        assert!(breakers.try_acquire(&1, later + OPEN_FOR + SECOND).is_err());
        breakers.record_success(&1);
        assert!(breakers.try_acquire(&1, later + OPEN_FOR + SECOND).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn breaker_probe_running_callers_wait_a_second() {
        let breakers = failing(MAX_FAILURES);
        let later = T0 + OPEN_FOR / 2;
        let begin = tokio::time::Instant::now();
        let acquire = || breakers.acquire_when_closed(|breakers| breakers.try_acquire(&1, later));
        let later_report = async |report: fn(&CircuitBreakers<u8, &'static str>, SystemTime)| {
            tokio::time::sleep(SECOND / 4).await;
            report(&breakers, later);
        };
        // No probe is running.
        assert!(breakers.acquire_when_closed(|breakers| breakers.peek(&1, T0)).await.is_err());
        assert!(acquire().await.is_ok());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let (acquired, ()) =
            tokio::join!(acquire(), later_report(|breakers, now| breakers.record_failure(&1, "still", None, now, 1.0)));
        assert_eq!((*acquired.unwrap_err().failure, begin.elapsed()), ("still", SECOND / 4));
        let later = later + OPEN_FOR;
        let acquire = || breakers.acquire_when_closed(|breakers| breakers.try_acquire(&1, later));
        assert!(acquire().await.is_ok());
        assert_eq!(acquire().await.unwrap_err().retry_after, OPEN_FOR);
        assert_eq!(begin.elapsed(), SECOND / 4 + PROBE_WAIT, "the probe reports nothing");
        let (acquired, ()) = tokio::join!(acquire(), later_report(|breakers, _| breakers.record_success(&1)));
        assert!(acquired.is_ok());
        assert_eq!(begin.elapsed(), SECOND / 2 + PROBE_WAIT);
    }

    #[test]
    fn allow_probe_next_caller_probes_at_once() {
        let breakers = failing(MAX_FAILURES);
        breakers.allow_probe(|key| *key == 2, |_| false, T0);
        assert!(breakers.try_acquire(&1, T0).is_err(), "another endpoint");
        breakers.allow_probe(|_| true, |failure| *failure == "down", T0);
        assert!(breakers.try_acquire(&1, T0).is_err(), "a pause that the endpoint requested");
        breakers.allow_probe(|_| true, |_| false, T0);
        assert!(breakers.try_acquire(&1, T0).is_ok());
        // One probe at a time, however often a user asks.
        breakers.allow_probe(|_| true, |_| false, T0);
        assert!(breakers.try_acquire(&1, T0).is_err());
        // A probe that fails opens the breaker again at once.
        breakers.record_failure(&1, "still", None, T0, 0.0);
        assert_eq!(breakers.try_acquire(&1, T0).unwrap_err().retry_after, OPEN_FOR / 2);
    }

    #[test]
    fn refreshes_share_probes_with_growing_pauses() {
        let breakers = CircuitBreakers::new();
        assert_eq!(breakers.refresh_permit(&1, T0), RefreshPermit::Allowed);
        let mut now = T0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            breakers.record_failure(&1, "down", None, now, 1.0);
            let RefreshPermit::Wait(until) = breakers.refresh_permit(&1, now) else { panic!("no pause") };
            pauses.push(until.duration_since(now).unwrap().as_secs());
            now = until;
            assert_eq!(breakers.refresh_permit(&1, now), RefreshPermit::Probe);
            assert_eq!(breakers.refresh_permit(&1, now), RefreshPermit::Wait(now + OPEN_FOR), "one probe at a time");
        }
        assert_eq!(pauses, [5, 5, 10, 20, 40, 80, 160, 320, 480]);
        breakers.record_success(&1);
        assert_eq!(breakers.refresh_permit(&1, now), RefreshPermit::Allowed);
    }

    /// Fault matrix row 59.
    #[test]
    fn refreshes_wait_for_retry_after() {
        let breakers = CircuitBreakers::new();
        breakers.record_failure(&1, "slow down", Some(MAX_OPEN_FOR), T0, 0.0);
        assert_eq!(breakers.refresh_permit(&1, T0), RefreshPermit::Wait(T0 + MAX_OPEN_FOR));
        // The clock was set back.
        assert_eq!(breakers.refresh_permit(&1, T0 - SECOND), RefreshPermit::Probe);
    }

    /// Fault matrix row 76.
    #[test]
    fn breaker_open_since_future_is_closed() {
        let breakers = failing(MAX_FAILURES);
        assert!(breakers.try_acquire(&1, T0 - SECOND).is_ok());
    }

    /// Fault matrix row 59.
    #[test]
    fn breaker_retry_after_opens_at_once() {
        let breakers = CircuitBreakers::new();
        breakers.record_failure(&1, "slow down", Some(2 * SECOND), T0, 0.5);
        assert_eq!(breakers.try_acquire(&1, T0).unwrap_err().retry_after, 2 * SECOND);
        assert!(breakers.try_acquire(&1, T0 + 2 * SECOND).is_ok());
        breakers.reset(|failure| *failure == "slow down");
        assert!(breakers.try_acquire(&1, T0 + 3 * SECOND).is_err());
        breakers.reset(|_| false);
        assert!(breakers.try_acquire(&1, T0 + 3 * SECOND).is_ok());
    }
}
