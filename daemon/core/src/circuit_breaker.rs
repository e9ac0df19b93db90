//! Leaves an endpoint alone that only fails (B6): after a few failures in a row nobody waits for another, except one caller
//! now and then who finds out whether it works again, and for a moment those who come meanwhile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::time_until;

/// Failures in a row that are no accident any more.
const MAX_FAILURES: u32 = 5;
/// How long an endpoint is left alone, at most; half of it at least, so that many daemons do not come back as one.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// How long those who come while one finds out wait for that: an endpoint that works has answered by then.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// The most that an endpoint may ask for itself (Retry-After).
pub const MAX_OPEN_FOR: Duration = Duration::from_mins(1);

/// The breakers of one process, by endpoint. `E` is what the last failure said.
#[derive(Debug)]
pub struct CircuitBreakers<K, E>(Mutex<HashMap<K, Breaker<E>>>);

/// What is known of one endpoint.
#[derive(Debug)]
struct Breaker<E> {
    failures: u32,
    open: Option<Pause<E>>,
}

/// From when until when nobody calls, but for one.
#[derive(Debug)]
struct Pause<E> {
    since: SystemTime,
    until: SystemTime,
    failure: Arc<E>,
    /// Cancelled when the one caller has found out.
    probe: Option<(CancellationToken, DropGuard)>,
}

/// No call is made: the last failure, and how long the endpoint is still left alone.
#[derive(Debug, Clone)]
pub struct CircuitOpen<E> {
    /// What the last call came to.
    pub failure: Arc<E>,
    /// Until the next call.
    pub retry_after: Duration,
    /// The one caller who finds out, and how long it makes sense to wait for that.
    probe: Option<(CancellationToken, Duration)>,
}

impl<K: Eq + Hash + Clone, E> CircuitBreakers<K, E> {
    /// Everything works as far as anybody knows.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Looks whether the endpoint is left alone, without a call in mind.
    pub fn peek(&self, key: &K, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        self.breakers().get(key).map_or(Ok(()), |breaker| breaker.peek(now))
    }

    /// Asks whether the endpoint may be called. Whoever is let through while it is left alone finds out for the others.
    pub fn try_acquire(&self, key: &K, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        match self.breakers().get_mut(key) {
            Some(breaker) => breaker.try_acquire(now),
            None => Ok(()),
        }
    }

    /// Asks `whether` (one of the two above) until the answer is final: where somebody is just finding out, that is waited
    /// for, but only for a moment.
    pub async fn acquire_when_closed(
        &self,
        whether: impl Fn(&Self) -> Result<(), CircuitOpen<E>>,
    ) -> Result<(), CircuitOpen<E>> {
        loop {
            let Err(mut open) = whether(self) else { return Ok(()) };
            let Some((probe, moment)) = open.probe.take() else { return Err(open) };
            if tokio::time::timeout(moment, probe.cancelled()).await.is_err() {
                return Err(open);
            }
        }
    }

    /// The endpoint answered, whatever it said.
    pub fn record_success(&self, key: &K) {
        self.breakers().remove(key);
    }

    /// The endpoint failed, and may have said for how long. `share` of 0 to 1 is the caller's luck.
    pub fn record_failure(&self, key: &K, failure: E, asked: Option<Duration>, now: SystemTime, share: f64) {
        let mut breakers = self.breakers();
        let breaker = breakers.entry(key.clone()).or_insert(Breaker { failures: 0, open: None });
        breaker.failed(failure, asked, now, share);
    }

    /// The machine woke up or its network changed: what failed there may work here, but for the failures to `keep`.
    pub fn reset(&self, keep: impl Fn(&E) -> bool) {
        self.breakers().retain(|_, breaker| breaker.open.as_ref().is_some_and(|pause| keep(&pause.failure)));
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
            // One that begins in the future, since the clock was set back, is over.
            Some(pause) if pause.since <= now && now < pause.until => {
                let moment = time_until(now, pause.since + PROBE_WAIT);
                let probe = pause.probe.as_ref().map(|(probe, _)| (probe.clone(), moment));
                Err(CircuitOpen {
                    failure: Arc::clone(&pause.failure),
                    retry_after: time_until(now, pause.until),
                    probe,
                })
            }
            _ => Ok(()),
        }
    }

    fn try_acquire(&mut self, now: SystemTime) -> Result<(), CircuitOpen<E>> {
        self.peek(now)?;
        if let Some(pause) = &mut self.open {
            // This one caller; the others go by what it comes to, or by its silence.
            (pause.since, pause.until) = (now, now + OPEN_FOR);
            let probe = CancellationToken::new();
            pause.probe = Some((probe.clone(), probe.drop_guard()));
        }
        Ok(())
    }

    fn failed(&mut self, failure: E, asked: Option<Duration>, now: SystemTime, share: f64) {
        self.failures = self.failures.saturating_add(1);
        let alone = match asked {
            Some(asked) => asked,
            // One who found out that it does not work yet is as good as many failures.
            None if self.failures >= MAX_FAILURES || self.open.as_ref().is_some_and(|pause| pause.probe.is_some()) => {
                OPEN_FOR.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
            }
            None => return,
        };
        self.open = Some(Pause { since: now, until: now + alone, failure: Arc::new(failure), probe: None });
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
    fn a_few_failures_are_an_accident_and_more_are_not() {
        assert!(failing(MAX_FAILURES - 1).try_acquire(&1, T0).is_ok());
        let breakers = failing(MAX_FAILURES);
        let open = breakers.try_acquire(&1, T0).unwrap_err();
        assert_eq!((*open.failure, open.retry_after), ("down", OPEN_FOR / 2));
        assert!(breakers.try_acquire(&2, T0).is_ok(), "another endpoint is another matter");
    }

    #[test]
    fn one_caller_finds_out_for_all() {
        let breakers = failing(MAX_FAILURES);
        let later = T0 + OPEN_FOR / 2;
        assert!(breakers.try_acquire(&1, later).is_ok());
        assert!(breakers.try_acquire(&1, later).is_err());
        breakers.record_failure(&1, "still", None, later, 1.0);
        assert_eq!(breakers.try_acquire(&1, later).unwrap_err().retry_after, OPEN_FOR);
        // One that is never heard of again does not close it for good.
        assert!(breakers.try_acquire(&1, later + OPEN_FOR).is_ok());
        assert!(breakers.try_acquire(&1, later + OPEN_FOR + SECOND).is_err());
        breakers.record_success(&1);
        assert!(breakers.try_acquire(&1, later + OPEN_FOR + SECOND).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_one_finds_out_hears_of_it_or_waits_for_a_moment() {
        let breakers = failing(MAX_FAILURES);
        let later = T0 + OPEN_FOR / 2;
        let begin = tokio::time::Instant::now();
        let ask = || breakers.acquire_when_closed(|breakers| breakers.try_acquire(&1, later));
        let say = async |what: fn(&CircuitBreakers<u8, &'static str>, SystemTime)| {
            tokio::time::sleep(SECOND / 4).await;
            what(&breakers, later);
        };
        // Nobody is finding out.
        assert!(breakers.acquire_when_closed(|breakers| breakers.peek(&1, T0)).await.is_err());
        assert!(ask().await.is_ok());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let (asked, ()) =
            tokio::join!(ask(), say(|breakers, now| breakers.record_failure(&1, "still", None, now, 1.0)));
        assert_eq!((*asked.unwrap_err().failure, begin.elapsed()), ("still", SECOND / 4));
        let later = later + OPEN_FOR;
        let ask = || breakers.acquire_when_closed(|breakers| breakers.try_acquire(&1, later));
        assert!(ask().await.is_ok());
        assert_eq!(ask().await.unwrap_err().retry_after, OPEN_FOR);
        assert_eq!(begin.elapsed(), SECOND / 4 + PROBE_WAIT, "who finds out says nothing");
        let (asked, ()) = tokio::join!(ask(), say(|breakers, _| breakers.record_success(&1)));
        assert!(asked.is_ok());
        assert_eq!(begin.elapsed(), SECOND / 2 + PROBE_WAIT);
    }

    #[test]
    fn row_76_a_pause_that_begins_in_the_future_is_over() {
        let breakers = failing(MAX_FAILURES);
        assert!(breakers.try_acquire(&1, T0 - SECOND).is_ok());
    }

    #[test]
    fn row_59_an_endpoint_that_asks_for_time_gets_it_at_once() {
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
