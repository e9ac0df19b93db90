//! What happens to a request for a session that is not fresh, and how long a failed load is remembered.

use std::time::{Duration, SystemTime};

use rolecall_protocol::ErrorClass;

use crate::session::Session;

/// How long a caller waits for a refresh while the cached session is usable. The load goes on without the caller.
pub const REFRESH_WAIT: Duration = Duration::from_secs(2);
/// A session with less time left is refreshed for a caller although its endpoint fails: its tokens have almost no life.
pub const MIN_SERVED_TIME: Duration = Duration::from_mins(2);
/// How long a transient failure is remembered: 2 s after the first, doubled with each further one up to 10 s. kubectl runs
/// its plugin six times for one failing command, and these share one attempt.
const TRANSIENT_TTL: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// How long a failure is remembered that a changed configuration or permission ends (B7).
const CHANGE_TTL: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(1)];

/// How new a session has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// From the cache if it is fresh, see [`crate::session::Session::is_fresh`].
    Cached,
    /// Loaded now, from cached sessions of the steps before.
    Refresh,
    /// Loaded now, with everything from which it is made.
    BypassCache,
}

/// Whether the refresh of a session that is not fresh may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshNeed {
    /// The refresh may wait until the endpoint answers: the session is usable for [`MIN_SERVED_TIME`] or longer.
    MayWait,
    /// The session is usable, and has less than [`MIN_SERVED_TIME`] left.
    Pressing,
    /// There is no usable session.
    Required,
}

impl RefreshNeed {
    /// Returns the need of a cached session, if there is one.
    #[must_use]
    pub fn of(session: Option<&Session>, now: SystemTime) -> Self {
        match session {
            Some(session) if !session.is_usable(now) => Self::Required,
            Some(session) if session.expires_within(MIN_SERVED_TIME, now) => Self::Pressing,
            Some(_) => Self::MayWait,
            None => Self::Required,
        }
    }
}

/// What the cache has of a session that is not fresh enough for the caller.
#[derive(Debug, Clone, Copy)]
pub struct StaleSession {
    /// Whether its refresh may wait.
    pub need: RefreshNeed,
    /// Whether a load is in flight.
    pub is_loading: bool,
    /// The last failure, if no load has succeeded since.
    pub failure: Option<KnownFailure>,
}

/// The last failure of a load.
#[derive(Debug, Clone, Copy)]
pub struct KnownFailure {
    /// Whether [`failure_ttl`] has not passed.
    pub is_within_ttl: bool,
    /// Whether AWS was not called because the circuit breaker is open.
    pub is_breaker_open: bool,
}

/// What a caller does for a session that is not fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Wait while another caller's probe finds out whether the endpoint answers again, then read the cache again.
    WaitForProbe,
    /// Load the session. If `wait` is set, a usable session is served once so much time has passed since the load started.
    Load {
        /// The longest wait.
        wait: Option<Duration>,
    },
    /// Serve the cached session if it is usable, else fail with the last failure.
    UseCache,
}

/// Returns what a caller does for a session that is not fresh enough. `has_waited` excludes [`NextStep::WaitForProbe`].
/// `may_refresh` returns whether the circuit breaker permits a load for a session that is still usable.
pub fn next_step(
    freshness: Freshness,
    stale: &StaleSession,
    has_waited: bool,
    may_refresh: impl FnOnce() -> bool,
) -> NextStep {
    let is_cached = freshness == Freshness::Cached;
    let is_served = is_cached && stale.need != RefreshNeed::Required;
    match &stale.failure {
        // A load in flight may be the probe.
        Some(failure) if failure.is_breaker_open && is_cached && !is_served && !stale.is_loading && !has_waited => {
            NextStep::WaitForProbe
        }
        Some(failure) if is_cached && failure.is_within_ttl => NextStep::UseCache,
        _ if is_cached && stale.need == RefreshNeed::MayWait && !stale.is_loading && !may_refresh() => {
            NextStep::UseCache
        }
        // After a failure, callers who have a usable session do not wait for the next attempt.
        Some(_) => NextStep::Load { wait: is_served.then_some(Duration::ZERO) },
        None => NextStep::Load { wait: is_served.then_some(REFRESH_WAIT) },
    }
}

/// Returns how long the last of `failures` failures in a row is remembered, by what ends it.
#[must_use]
pub fn failure_ttl(class: ErrorClass, failures: u32, retry_after: Option<Duration>, is_breaker_open: bool) -> Duration {
    match class {
        // The circuit breaker knows when the next call may be made.
        _ if is_breaker_open => Duration::ZERO,
        ErrorClass::Login => Duration::MAX,
        ErrorClass::Change => doubled(CHANGE_TTL, failures),
        _ => doubled(TRANSIENT_TTL, failures).max(retry_after.unwrap_or_default()),
    }
}

/// Returns the first duration, doubled with each failure after the first, up to the second.
fn doubled([first, most]: [Duration; 2], failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(most)
}

#[cfg(test)]
mod tests {
    use super::RefreshNeed::{MayWait, Pressing, Required};
    use super::*;

    const FAILED: KnownFailure = KnownFailure { is_within_ttl: false, is_breaker_open: false };

    fn step(freshness: Freshness, need: RefreshNeed, failure: Option<KnownFailure>) -> NextStep {
        next_step(freshness, &StaleSession { need, is_loading: false, failure }, false, || true)
    }

    #[test]
    fn usable_session_limits_the_wait_for_a_load() {
        let load = |wait| NextStep::Load { wait };
        assert_eq!(step(Freshness::Cached, Required, None), load(None));
        assert_eq!(step(Freshness::Cached, MayWait, None), load(Some(REFRESH_WAIT)));
        assert_eq!(step(Freshness::Cached, MayWait, Some(FAILED)), load(Some(Duration::ZERO)));
        assert_eq!(step(Freshness::Refresh, MayWait, Some(FAILED)), load(None));
    }

    #[test]
    fn remembered_failure_starts_no_load() {
        let remembered = KnownFailure { is_within_ttl: true, ..FAILED };
        assert_eq!(step(Freshness::Cached, MayWait, Some(remembered)), NextStep::UseCache);
        assert_eq!(step(Freshness::Refresh, MayWait, Some(remembered)), NextStep::Load { wait: None });
    }

    #[test]
    fn open_breaker_without_session_waits_for_the_probe_once() {
        let open = Some(KnownFailure { is_breaker_open: true, ..FAILED });
        assert_eq!(step(Freshness::Cached, Required, open), NextStep::WaitForProbe);
        assert_eq!(step(Freshness::Cached, MayWait, open), NextStep::Load { wait: Some(Duration::ZERO) });
        let stale = StaleSession { need: Required, is_loading: true, failure: open };
        assert_eq!(next_step(Freshness::Cached, &stale, false, || true), NextStep::Load { wait: None });
        let stale = StaleSession { is_loading: false, ..stale };
        assert_eq!(next_step(Freshness::Cached, &stale, true, || true), NextStep::Load { wait: None });
    }

    #[test]
    fn failing_endpoint_delays_refresh_not_load() {
        let step = |freshness, need, is_loading| {
            next_step(freshness, &StaleSession { need, is_loading, failure: None }, false, || false)
        };
        assert_eq!(step(Freshness::Cached, MayWait, false), NextStep::UseCache);
        assert_eq!(step(Freshness::Cached, MayWait, true), NextStep::Load { wait: Some(REFRESH_WAIT) });
        assert_eq!(step(Freshness::Cached, Required, false), NextStep::Load { wait: None });
        assert_eq!(step(Freshness::Refresh, MayWait, false), NextStep::Load { wait: None });
        let expiring = StaleSession { need: Pressing, is_loading: false, failure: Some(FAILED) };
        let step = next_step(Freshness::Cached, &expiring, false, || false);
        assert_eq!(step, NextStep::Load { wait: Some(Duration::ZERO) });
    }

    #[test]
    fn failure_ttl_depends_on_class_and_number() {
        let ttl = |class, failures| failure_ttl(class, failures, None, false).as_secs();
        assert_eq!([1, 2, 3, 4, 50].map(|failures| ttl(ErrorClass::Retry, failures)), [2, 4, 8, 10, 10]);
        assert_eq!([1, 2, 5, 50].map(|failures| ttl(ErrorClass::Change, failures)), [5, 10, 60, 60]);
        assert_eq!(failure_ttl(ErrorClass::Login, 1, None, false), Duration::MAX);
        assert_eq!(failure_ttl(ErrorClass::Retry, 9, None, true), Duration::ZERO);
        let asked = Some(Duration::from_secs(30));
        assert_eq!(failure_ttl(ErrorClass::Retry, 1, asked, false), Duration::from_secs(30));
    }
}
