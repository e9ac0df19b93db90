//! When one session is renewed: just before the middle of its life, after a failure, or late.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

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

/// Returns when a session is renewed: at `share` (0.45 to 0.49) of its life, and with at least 20 min left if its life is
/// longer than 40 min. `None` for a session that does not expire.
fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = time_until(session.issued, end);
    let spent = life.mul_f64(share.clamp(0.0, 1.0));
    let latest = if life > 2 * MIN_TIME_LEFT { life.saturating_sub(MIN_TIME_LEFT) } else { life };
    Some(session.issued + spent.min(latest))
}

/// Returns when an overdue session is renewed: when a random half to nine tenths of what is left of its life have passed, of
/// at most an hour. An expired session is renewed within 30 min.
pub(super) fn catch_up_at(session: &Session, now: SystemTime, share: f64) -> SystemTime {
    let left = session.expires().map_or(Duration::ZERO, |end| time_until(now, end));
    if session.is_usable(now) {
        now + left.min(MAX_CATCH_UP).mul_f64(CATCH_UP_SHARE + CATCH_UP_JITTER * share)
    } else {
        now + EXPIRED_SPREAD.mul_f64(share)
    }
}

/// Returns the pause after a number of failures in a row: a random half to the whole (`share`) of a bound that doubles from
/// 5 s to 5 min (B5).
fn pause(failures: u32, share: f64) -> Duration {
    let bound = MIN_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_PAUSE);
    bound.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

/// Returns when the next renewal is tried: just before the middle of the session's life, or after the pause that follows a
/// failure. `None` where there is no session to renew, or where only the user can end the failure.
pub(super) fn next_try(state: &RenewalState, share: f64) -> Option<SystemTime> {
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
pub(super) mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    pub(in super::super) const T0: SystemTime = SystemTime::UNIX_EPOCH;

    pub(in super::super) fn session(life: Duration) -> Session {
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
}
