//! When sessions are renewed: a queue of due times, for any number of role chains. Callers pass the time, so the daemon and
//! a simulation use the same policy.
//!
//! A session that was used within its profile's `keep_warm` is renewed just before the middle of its life (B1), for example
//! between 27 and 29.4 min of an hour. AWS may therefore fail for half of a session's life without an effect. A session that
//! nothing uses expires.
//!
//! Outages of STS and lunch breaks are the same for all laptops of a company. What would follow at once on each would be a
//! peak of calls, so overdue renewals are spread over the rest of the sessions' lives ([`catch_up_at`]). `cargo measure fleet`
//! measures the peaks.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::circuit_breaker::RefreshPermit;
use crate::clock::time_until;
use crate::session::Session;

/// The share of its life at which a session is renewed, and the random part of it. More than half is left, so an outage of
/// half of its life ends before the session does, and a caller has 36 s of an hour's session for the next attempt. Later
/// renewals would be fewer: 28.2 min on average are 1.06 calls per half hour.
const RENEWAL_SHARE: f64 = 0.45;
const RENEWAL_JITTER: f64 = 0.04;
/// The longest pause after the first failure (B5). It doubles with each further failure …
const MIN_PAUSE: Duration = Duration::from_secs(5);
/// … up to this.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// The part of the remaining life after which an overdue session is renewed, and the random part of it. Sessions that became
/// due during an outage have anything between half of their life and nothing left. At these shares, the renewals of sessions
/// of an hour after an outage of half an hour are spread over 27 min.
const CATCH_UP_SHARE: f64 = 0.5;
const CATCH_UP_JITTER: f64 = 0.4;
/// The longest remaining life that counts. A session of 12 h is renewed within an hour.
const MAX_CATCH_UP: Duration = Duration::from_hours(1);
/// Sessions that expired while the machine slept are renewed at random within this time. Their next use renews them at once.
const EXPIRED_SPREAD: Duration = Duration::from_mins(30);
/// Renewals whose failure a user has ended start at random within this time.
const RETRY_JITTER: Duration = Duration::from_secs(3);
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
    /// Whether the endpoint failed, which all its sessions share.
    pub is_of_endpoint: bool,
}

/// How soon an overdue renewal starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Spread over the rest of the session's life.
    Spread,
    /// Within 3 s: the user has done something for it.
    Soon,
}

/// The chains whose sessions are renewed, in the order of their due times. `K` is a role chain.
#[derive(Debug)]
pub struct RenewalQueue<K> {
    tracked: HashMap<K, Tracked>,
    due: BTreeMap<DueAt, K>,
    last_number: u64,
    in_flight: usize,
}

/// When a renewal is due, when the session expires, and a number that tells renewals apart. Renewals that wait for the same
/// endpoint have the same time: the most urgent one starts first.
type DueAt = (SystemTime, Option<SystemTime>, u64);

/// A chain whose session is renewed.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    /// Chains are listed in the order in which they were tracked first.
    number: u64,
    /// When renewing ends, unless the session is used again.
    until: SystemTime,
    /// When its session expires.
    expires: Option<SystemTime>,
    /// Its key in `RenewalQueue::due`.
    due_at: Option<DueAt>,
    is_loading: bool,
    /// Whether the endpoint failed when the renewal was due. When it answers again, the renewal is spread.
    is_held: bool,
    /// Whether the plan is that of an overdue renewal.
    is_overdue: bool,
}

/// A chain that has left the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due<K> {
    /// Its renewal starts now, and [`RenewalQueue::end`] reports its end.
    Renew(K),
    /// Its endpoint fails, or has failed: it is planned again.
    Later(K),
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
        self.last_number += 1;
        let number = self.last_number;
        let tracked = Tracked {
            number,
            until,
            expires: None,
            due_at: None,
            is_loading: false,
            is_held: false,
            is_overdue: false,
        };
        self.tracked.insert(key.clone(), tracked);
        true
    }

    /// Plans the next renewal of a tracked chain, in the place of an earlier plan. Has no effect while one is in flight.
    pub fn plan(&mut self, key: &K, state: impl FnOnce() -> RenewalState, urgency: Urgency, now: SystemTime) {
        let Some(tracked) = self.tracked.get_mut(key).filter(|tracked| !tracked.is_loading) else { return };
        let state = state();
        tracked.expires = state.session.as_ref().and_then(|session| session.expires());
        tracked.is_held = state.failure.is_some_and(|failure| failure.is_of_endpoint);
        let next = next_try(&state, fastrand::f64());
        let is_overdue = next.is_some_and(|at| at <= now);
        // The plan of an overdue renewal stays: making it again and again would only delay the renewal.
        let earlier = tracked.due_at.filter(|_| tracked.is_overdue).map(|(at, ..)| at);
        tracked.is_overdue = is_overdue;
        let at = match (state.session, urgency) {
            (Some(session), Urgency::Spread) if is_overdue => {
                Some(earlier.unwrap_or_else(|| catch_up_at(&session, now, fastrand::f64())))
            }
            (_, Urgency::Soon) if is_overdue => {
                let soon = now + RETRY_JITTER.mul_f64(fastrand::f64());
                Some(earlier.map_or(soon, |earlier| earlier.min(soon)))
            }
            _ => next,
        };
        self.set_due(key, at);
    }

    /// Puts a chain into the queue, in the place of an earlier plan.
    fn set_due(&mut self, key: &K, at: Option<SystemTime>) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        if let Some(earlier) = tracked.due_at.take() {
            self.due.remove(&earlier);
        }
        if let Some(at) = at {
            self.last_number += 1;
            let due_at = (at, tracked.expires, self.last_number);
            tracked.due_at = Some(due_at);
            self.due.insert(due_at, key.clone());
        }
    }

    /// Returns when the session of a chain is renewed next, if a renewal is planned.
    #[must_use]
    pub fn planned(&self, key: &K) -> Option<SystemTime> {
        self.tracked.get(key)?.due_at.map(|(at, ..)| at)
    }

    /// Removes the next chain that is due from the queue. `None` if none is due, or if as many renewals as allowed are in
    /// flight. `permit` is that of the chain's endpoint, `session` its session.
    pub fn next(
        &mut self,
        now: SystemTime,
        permit: impl FnOnce(&K) -> RefreshPermit,
        session: impl FnOnce(&K) -> Option<Arc<Session>>,
    ) -> Option<Due<K>> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let tracked = self.tracked.get_mut(&key)?;
        (tracked.due_at, tracked.is_overdue) = (None, false);
        if tracked.until <= now {
            self.tracked.remove(&key);
            return Some(Due::Unused(key));
        }
        match permit(&key) {
            RefreshPermit::Wait(until) => {
                tracked.is_held = true;
                self.set_due(&key, Some(until));
                return Some(Due::Later(key));
            }
            RefreshPermit::Allowed if tracked.is_held => {
                // Another call has found that the endpoint answers again.
                (tracked.is_held, tracked.is_overdue) = (false, true);
                if let Some(session) = session(&key) {
                    self.set_due(&key, Some(catch_up_at(&session, now, fastrand::f64())));
                    return Some(Due::Later(key));
                }
            }
            RefreshPermit::Allowed | RefreshPermit::Probe => {}
        }
        let tracked = self.tracked.get_mut(&key)?;
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
        self.due.first_key_value().map(|((at, ..), _)| *at)
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

    /// Returns the tracked chains, in the order in which they were tracked first.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        let mut keys: Vec<_> = self.tracked.iter().collect();
        keys.sort_unstable_by_key(|(_, tracked)| tracked.number);
        keys.into_iter().map(|(key, _)| key.clone()).collect()
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

/// Returns when a session is renewed: at `share` (0.45 to 0.49) of its life, and with at least 20 min left if its life is
/// longer than 40 min. `None` for a session that does not expire.
#[must_use]
pub fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = time_until(session.issued, end);
    let spent = life.mul_f64(share.clamp(0.0, 1.0));
    let latest = if life > 2 * MIN_TIME_LEFT { life.saturating_sub(MIN_TIME_LEFT) } else { life };
    Some(session.issued + spent.min(latest))
}

/// Returns when an overdue session is renewed: when a random half to nine tenths of what is left of its life have passed, of
/// at most an hour. An expired session is renewed within 30 min.
#[must_use]
pub fn catch_up_at(session: &Session, now: SystemTime, share: f64) -> SystemTime {
    let left = session.expires().map_or(Duration::ZERO, |end| time_until(now, end));
    if session.is_usable(now) {
        now + left.min(MAX_CATCH_UP).mul_f64(CATCH_UP_SHARE + CATCH_UP_JITTER * share)
    } else {
        now + EXPIRED_SPREAD.mul_f64(share)
    }
}

/// Returns the pause after a number of failures in a row: a random half to the whole (`share`) of a bound that doubles from
/// 5 s to 5 min (B5).
#[must_use]
pub fn pause(failures: u32, share: f64) -> Duration {
    let bound = MIN_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_PAUSE);
    bound.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

/// Returns when the next renewal is tried: just before the middle of the session's life, or after the pause that follows a
/// failure. `None` where there is no session to renew, or where only the user can end the failure.
fn next_try(state: &RenewalState, share: f64) -> Option<SystemTime> {
    let session = state.session.as_ref()?;
    let end = session.expires()?;
    match &state.failure {
        None if state.needs_mfa_code => Some(end - MFA_NOTICE),
        None => renew_at(session, RENEWAL_SHARE + RENEWAL_JITTER * share),
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
    fn pause_doubles_with_jitter_up_to_five_minutes() {
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (7, 300), (50, 300)] {
            assert_eq!(pause(failures, 1.0), Duration::from_secs(most));
            assert_eq!(pause(failures, 0.0), Duration::from_secs(most) / 2);
        }
    }

    #[test]
    fn catch_up_uses_the_rest_of_the_life() {
        let at = |life, now, share| {
            let now = T0 + Duration::from_mins(now);
            let at = catch_up_at(&session(Duration::from_mins(life)), now, share);
            at.duration_since(now).unwrap().as_secs()
        };
        assert_eq!((at(60, 30, 0.0), at(60, 30, 1.0)), (15 * 60, 27 * 60));
        assert_eq!((at(60, 55, 0.0), at(60, 55, 1.0)), (150, 270));
        assert_eq!((at(720, 360, 0.0), at(720, 360, 1.0)), (30 * 60, 54 * 60));
        assert_eq!((at(60, 90, 0.0), at(60, 90, 1.0)), (0, 30 * 60));
    }

    fn state(life: Duration, failure: Option<RenewalFailure>) -> RenewalState {
        RenewalState { session: Some(Arc::new(session(life))), failure, needs_mfa_code: false }
    }

    fn start(queue: &mut RenewalQueue<u8>, now: SystemTime, permit: RefreshPermit) -> Option<Due<u8>> {
        queue.next(now, |_| permit, |_| Some(Arc::new(session(HOUR))))
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn renewal_at_failing_endpoint_waits_then_is_spread() {
        let mut queue = RenewalQueue::new();
        let due = T0 + HOUR / 2;
        assert!(queue.track(&1, T0 + 9 * HOUR));
        queue.plan(&1, || state(HOUR, None), Urgency::Spread, T0);
        assert!(queue.planned(&1).unwrap() < due);
        let until = due + Duration::from_mins(1);
        assert_eq!(start(&mut queue, due, RefreshPermit::Wait(until)), Some(Due::Later(1)));
        assert_eq!(queue.planned(&1), Some(until));
        assert_eq!(start(&mut queue, due, RefreshPermit::Allowed), None, "not due");
        assert_eq!(start(&mut queue, until, RefreshPermit::Allowed), Some(Due::Later(1)));
        let spread = queue.planned(&1).unwrap();
        assert!(spread > until + Duration::from_mins(14) && spread < due + Duration::from_mins(28));
        queue.plan(&1, || state(HOUR, None), Urgency::Spread, until);
        assert_eq!(queue.planned(&1), Some(spread), "the plan stays");
        assert_eq!(start(&mut queue, spread, RefreshPermit::Allowed), Some(Due::Renew(1)));
    }

    #[test]
    fn probe_starts_and_its_failure_pauses() {
        let mut queue = RenewalQueue::new();
        let due = T0 + HOUR / 2;
        queue.track(&1, T0 + 9 * HOUR);
        queue.plan(&1, || state(HOUR, None), Urgency::Spread, T0);
        assert_eq!(start(&mut queue, due, RefreshPermit::Probe), Some(Due::Renew(1)));
        queue.end(&1);
        let failure = RenewalFailure {
            last: due,
            failures: 3,
            retry_after: Duration::ZERO,
            may_pass: true,
            is_of_endpoint: true,
        };
        queue.plan(&1, || state(HOUR, Some(failure)), Urgency::Spread, due);
        let retry = queue.planned(&1).unwrap();
        assert!(retry >= due + Duration::from_secs(10) && retry <= due + Duration::from_secs(20));
        assert_eq!(start(&mut queue, retry, RefreshPermit::Allowed), Some(Due::Later(1)), "another call succeeded");
    }

    #[test]
    fn overdue_renewal_after_a_login_starts_soon() {
        let mut queue = RenewalQueue::new();
        let now = T0 + HOUR * 2 / 3;
        queue.track(&1, T0 + 9 * HOUR);
        queue.plan(&1, || state(HOUR, None), Urgency::Soon, now);
        assert!(queue.planned(&1).unwrap() <= now + RETRY_JITTER);
    }

    #[test]
    fn unused_chain_leaves_the_queue() {
        let mut queue = RenewalQueue::new();
        queue.track(&1, T0 + HOUR / 4);
        queue.plan(&1, || state(HOUR, None), Urgency::Spread, T0);
        assert_eq!(start(&mut queue, T0 + HOUR / 2, RefreshPermit::Allowed), Some(Due::Unused(1)));
        assert!(!queue.contains(&1));
    }
}
