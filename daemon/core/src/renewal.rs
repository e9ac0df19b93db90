//! When sessions are renewed: a queue of due times, for any number of role chains. Callers pass the time, so the daemon and
//! a simulation use the same policy.
//!
//! A session that was used within its profile's `keep_warm` is renewed just before the middle of its life (B1), for example
//! between 27 and 29.4 min of an hour. AWS may therefore fail for half of a session's life without an effect. A session that
//! nothing uses expires.
//!
//! Outages of STS and lunch breaks are the same for all laptops of a company. What would follow at once on each would be a
//! peak of calls, so overdue renewals are spread over the rest of the sessions' lives (`due_time`). `cargo measure fleet`
//! measures the peaks.

mod due_time;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::circuit_breaker::RefreshPermit;
use crate::session::Session;

pub use due_time::{RenewalFailure, RenewalState};
use due_time::{catch_up_at, next_try};

/// Renewals whose failure a user has ended start at random within this time.
const RETRY_JITTER: Duration = Duration::from_secs(3);
/// Renewals in flight at once: half of the calls that STS gets at once, so that a caller never waits for a renewal.
const MAX_IN_FLIGHT: usize = 4;
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
    plan: Option<Plan>,
    is_loading: bool,
    /// Whether the endpoint failed when the renewal was due. When it answers again, the renewal is spread.
    is_held: bool,
}

/// The plan of a chain's next renewal.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Its key in `RenewalQueue::due`.
    due_at: DueAt,
    time: PlannedTime,
}

/// How the time of a planned renewal was chosen, which decides whether a further plan replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlannedTime {
    /// By the age of the session, the pause after a failure, or the circuit breaker. A further plan replaces it.
    Regular,
    /// At random, because the renewal is overdue. It stays: choosing it again and again would only delay the renewal.
    Spread,
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
        let tracked = Tracked { number, until, expires: None, plan: None, is_loading: false, is_held: false };
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
        let time = if is_overdue { PlannedTime::Spread } else { PlannedTime::Regular };
        let earlier = tracked.plan.filter(|plan| plan.time == PlannedTime::Spread).map(|plan| plan.due_at.0);
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
        self.set_due(key, at, time);
    }

    /// Puts a chain into the queue, in the place of an earlier plan.
    fn set_due(&mut self, key: &K, at: Option<SystemTime>, time: PlannedTime) {
        let Some(tracked) = self.tracked.get_mut(key) else { return };
        if let Some(earlier) = tracked.plan.take() {
            self.due.remove(&earlier.due_at);
        }
        if let Some(at) = at {
            self.last_number += 1;
            let due_at = (at, tracked.expires, self.last_number);
            tracked.plan = Some(Plan { due_at, time });
            self.due.insert(due_at, key.clone());
        }
    }

    /// Returns when the session of a chain is renewed next, if a renewal is planned.
    #[must_use]
    pub fn planned(&self, key: &K) -> Option<SystemTime> {
        self.tracked.get(key)?.plan.map(|plan| plan.due_at.0)
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
        tracked.plan = None;
        if tracked.until <= now {
            self.tracked.remove(&key);
            return Some(Due::Unused(key));
        }
        match permit(&key) {
            RefreshPermit::Wait(until) => {
                tracked.is_held = true;
                self.set_due(&key, Some(until), PlannedTime::Regular);
                return Some(Due::Later(key));
            }
            RefreshPermit::Allowed if tracked.is_held => {
                // Another call has found that the endpoint answers again.
                tracked.is_held = false;
                if let Some(session) = session(&key) {
                    self.set_due(&key, Some(catch_up_at(&session, now, fastrand::f64())), PlannedTime::Spread);
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

#[cfg(test)]
mod tests {
    use super::due_time::tests::{T0, session};
    use super::*;

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
