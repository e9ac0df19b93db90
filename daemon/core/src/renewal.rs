//! When sessions are renewed: a queue of due times, for any number of role chains. Callers pass the time, so the daemon and
//! a simulation use the same policy.
//!
//! A session that was used within its profile's `keep_warm` is renewed at a random point in the middle of its life (B1),
//! for example between 27 and 33 min of an hour. AWS may therefore fail for half of a session's life without an effect. A
//! renewal that fails is repeated with growing pauses. A session that nothing uses expires.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::time_until;
use crate::session::Session;

/// The bound of the first pause after a failure (B5). It doubles with each further failure …
const MIN_PAUSE: Duration = Duration::from_secs(5);
/// … up to this.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Renewals that are due when the machine wakes up start at random within this time (B10).
const WAKE_JITTER: Duration = Duration::from_secs(3);
/// Renewals in flight at once: half of the calls that STS gets at once, so that a caller never waits for a renewal.
const MAX_IN_FLIGHT: usize = 4;
/// How long before its end the renewal of a session is tried that needs an MFA code from the user, so that the failure
/// shows that the code is needed.
const MFA_NOTICE: Duration = Duration::from_mins(15);
/// The time that is left of a session at its renewal, at least, if it lives longer than twice this.
const MIN_TIME_LEFT: Duration = Duration::from_mins(20);

/// What decides when a session is renewed next.
#[derive(Debug, Clone)]
pub struct RenewalState {
    /// The last session. Without one there is nothing to renew.
    pub session: Option<Arc<Session>>,
    /// The last failure, if no load has succeeded since.
    pub failure: Option<RenewalFailure>,
    /// Whether the renewal needs an MFA code from the user.
    pub needs_mfa_code: bool,
}

/// The last failure of a renewal.
#[derive(Debug, Clone, Copy)]
pub struct RenewalFailure {
    /// When it happened.
    pub last: SystemTime,
    /// The number of failures in a row.
    pub failures: u32,
    /// How long AWS, or the circuit breaker, wants no further call.
    pub retry_after: Duration,
    /// Whether time may end it. A renewal that needs a login is not repeated.
    pub may_pass: bool,
}

/// The chains whose sessions are renewed, in the order of their due times. `K` is a role chain.
#[derive(Debug)]
pub struct RenewalQueue<K> {
    tracked: HashMap<K, Tracked>,
    due: BTreeMap<DueAt, K>,
    last_number: u64,
    in_flight: usize,
}

/// When a renewal is due, with a number that tells renewals of the same time apart.
type DueAt = (SystemTime, u64);

/// A chain whose session is renewed.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    /// When renewing ends, unless the session is used again.
    until: SystemTime,
    /// Its key in `RenewalQueue::due`.
    due_at: Option<DueAt>,
    is_loading: bool,
}

/// A chain that has left the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due<K> {
    /// Its renewal starts now, and [`RenewalQueue::end`] reports its end.
    Renew(K),
    /// It was not used for `keep_warm`: the session expires, and its next use tracks it again.
    Unused(K),
}

impl<K: Eq + Hash + Clone> RenewalQueue<K> {
    /// Returns an empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { tracked: HashMap::new(), due: BTreeMap::new(), last_number: 0, in_flight: 0 }
    }

    /// Renews the session of a chain until this time. Returns whether the chain is new, so that it has no plan yet.
    pub fn track(&mut self, key: &K, until: SystemTime) -> bool {
        if let Some(tracked) = self.tracked.get_mut(key) {
            tracked.until = until;
            return false;
        }
        self.tracked.insert(key.clone(), Tracked { until, due_at: None, is_loading: false });
        true
    }

    /// Plans the next renewal of a tracked chain, in the place of an earlier plan. Has no effect while one is in flight.
    pub fn plan(&mut self, key: &K, state: impl FnOnce() -> RenewalState, now: SystemTime) {
        let Some(tracked) = self.tracked.get_mut(key).filter(|tracked| !tracked.is_loading) else { return };
        // Many chains may be overdue at once.
        let soonest = now + WAKE_JITTER.mul_f64(fastrand::f64());
        let at = next_try(&state(), fastrand::f64()).map(|at| if at <= now { soonest } else { at });
        if let Some(earlier) = tracked.due_at.take() {
            self.due.remove(&earlier);
        }
        if let Some(at) = at {
            self.last_number += 1;
            tracked.due_at = Some((at, self.last_number));
            self.due.insert((at, self.last_number), key.clone());
        }
    }

    /// Returns when the session of a chain is renewed next, if a renewal is planned.
    #[must_use]
    pub fn planned(&self, key: &K) -> Option<SystemTime> {
        self.tracked.get(key)?.due_at.map(|(at, _)| at)
    }

    /// Removes the next chain that is due from the queue. `None` if none is due, or if as many renewals as allowed are in
    /// flight.
    pub fn next(&mut self, now: SystemTime) -> Option<Due<K>> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let tracked = self.tracked.get_mut(&key)?;
        tracked.due_at = None;
        if tracked.until <= now {
            self.tracked.remove(&key);
            return Some(Due::Unused(key));
        }
        tracked.is_loading = true;
        self.in_flight += 1;
        Some(Due::Renew(key))
    }

    /// Returns when the next renewal starts. `None` if the next event starts it, because none is planned or as many as
    /// allowed are in flight.
    #[must_use]
    pub fn next_due(&self) -> Option<SystemTime> {
        if self.in_flight >= MAX_IN_FLIGHT {
            return None;
        }
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Records that the renewal of a chain has ended. It has no plan then.
    pub fn end(&mut self, key: &K) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(tracked) = self.tracked.get_mut(key) {
            tracked.is_loading = false;
        }
    }

    /// Drops every chain for which `keep` is false, except those whose renewal is in flight.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.tracked.retain(|key, tracked| tracked.is_loading || keep(key));
        let tracked = &self.tracked;
        self.due.retain(|_, key| tracked.contains_key(key));
    }

    /// Returns the tracked chains.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        self.tracked.keys().cloned().collect()
    }

    /// Returns whether the session of a chain is renewed.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.tracked.contains_key(key)
    }
}

impl<K: Eq + Hash + Clone> Default for RenewalQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns when a session is renewed: at `share` (0.45 to 0.55) of its life, and with at least 20 min left if its life is
/// longer than 40 min. `None` for a session that does not expire.
#[must_use]
pub fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = time_until(session.issued, end);
    let spent = life.mul_f64(share.clamp(0.0, 1.0));
    let latest = if life > 2 * MIN_TIME_LEFT { life.saturating_sub(MIN_TIME_LEFT) } else { life };
    Some(session.issued + spent.min(latest))
}

/// Returns the pause after a number of failures in a row: random (`share`) below a bound that doubles from 5 s to 60 s (B5).
#[must_use]
pub fn pause(failures: u32, share: f64) -> Duration {
    let bound = MIN_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_PAUSE);
    bound.mul_f64(share.clamp(0.0, 1.0)).max(MIN_PAUSE / 5)
}

/// Returns when the next renewal is tried: in the middle of the session's life, or after the pause that follows a failure.
/// `None` where there is no session to renew, or where only the user can end the failure.
fn next_try(state: &RenewalState, share: f64) -> Option<SystemTime> {
    let session = state.session.as_ref()?;
    let end = session.expires()?;
    match &state.failure {
        None if state.needs_mfa_code => Some(end - MFA_NOTICE),
        None => renew_at(session, 0.45 + 0.1 * share),
        // Callers wait for the failure's time to live; a renewal waits for its own pause, which begins when AWS's
        // Retry-After ends.
        Some(failed) => failed.may_pass.then(|| failed.last + failed.retry_after + pause(failed.failures, share)),
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    fn session(life: Duration) -> Session {
        let credentials = Credentials::new("AKIDEXAMPLE", "s", None, Some(T0 + life), "test");
        Session { credentials, arn: None, issued: T0, is_clamped: false }
    }

    #[test]
    fn renew_at_middle_of_session_life() {
        for (life, share, expected) in [
            (60, 0.45, 27),
            (60, 0.5, 30),
            (60, 0.55, 33),
            (720, 0.5, 360),
            (43, 0.55, 23), // 20 min are left
            (15, 0.4, 6),
        ] {
            let at = renew_at(&session(Duration::from_mins(life)), share).unwrap();
            assert_eq!(at.duration_since(T0).unwrap().as_secs() / 60, expected, "{life} min at {share}");
        }
        let endless = Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        assert_eq!(renew_at(&Session { credentials: endless, arn: None, issued: T0, is_clamped: false }, 0.5), None);
    }

    #[test]
    fn pause_doubles_with_jitter_up_to_a_minute() {
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)] {
            assert_eq!(pause(failures, 1.0), Duration::from_secs(most));
            assert!(pause(failures, 0.5) <= Duration::from_secs(most) / 2);
            assert_eq!(pause(failures, 0.0), Duration::from_secs(1));
        }
    }
}
