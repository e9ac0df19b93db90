//! A session: temporary credentials and when they end. Freshness is a pure function of `now`.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_protocol::SessionStatus;

use crate::clock::{Clock, time_until};

/// No token is signed with less than this left, unless getting more has just failed.
const MIN_FRESH_TIME: Duration = Duration::from_mins(15);
/// What is held back at the very end, for clocks that differ a little (B2).
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// How long credentials that name no end are believed before their source is asked again: its files may have changed.
const NO_EXPIRY_TTL: Duration = Duration::from_mins(1);
/// How long EKS takes a token after it was signed, less a minute (both reference clients say 14 min).
const TOKEN_TTL: Duration = Duration::from_mins(14);
/// What is held back of a session's life when a token's end is told (row 84).
const TOKEN_MARGIN: Duration = Duration::from_mins(1);

/// The credentials that a source or a step returned. `Credentials` wipes itself and prints nothing secret.
#[derive(Debug, Clone)]
pub struct Session {
    /// What signs.
    pub credentials: Credentials,
    /// Whose they are, as GetCallerIdentity says it; unknown for those of a source.
    pub arn: Option<String>,
    /// When we got them.
    pub issued: SystemTime,
    /// Whether they last less long than was asked for, because AWS grants no more.
    pub is_clamped: bool,
}

impl Session {
    /// When AWS stops taking them; long-lived keys have no end.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    /// Whether AWS still takes them.
    #[must_use]
    pub fn is_usable(&self, now: SystemTime) -> bool {
        self.expires().is_none_or(|end| time_until(now, end) > EXPIRY_MARGIN)
    }

    /// Whether they are good enough not to ask for newer ones: 15 minutes left, or half of a life that is shorter than
    /// twice that.
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        match self.expires() {
            Some(end) => {
                time_until(now, end) >= MIN_FRESH_TIME.min(time_until(self.issued, end) / 2) && self.is_usable(now)
            }
            // Issued in the future means that the clock was set back: time to ask again.
            None => now.duration_since(self.issued).is_ok_and(|age| age < NO_EXPIRY_TTL),
        }
    }

    /// The true end of a token signed now.
    #[must_use]
    pub fn token_expires(&self, now: SystemTime) -> SystemTime {
        let by_token = now + TOKEN_TTL;
        self.expires().map_or(by_token, |end| by_token.min(end - TOKEN_MARGIN))
    }

    /// Whether both sign alike: a source that is asked again often answers what it answered before.
    #[must_use]
    pub fn has_same_credentials(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.credentials, &other.credentials);
        ours.access_key_id() == theirs.access_key_id()
            && ours.secret_access_key() == theirs.secret_access_key()
            && ours.session_token() == theirs.session_token()
    }

    /// What may be told of it, in this machine's time.
    #[must_use]
    pub fn status(&self, clock: &Clock) -> SessionStatus {
        let id = self.credentials.access_key_id();
        SessionStatus {
            arn: self.arn.clone(),
            key_id_suffix: id.get(id.len().saturating_sub(4)..).unwrap_or_default().to_owned(),
            issued: clock.stamp(self.issued),
            expires: self.expires().map(|end| clock.stamp(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const MINUTE: Duration = Duration::from_mins(1);

    fn session(minutes: Option<u32>) -> Session {
        let expiry = minutes.map(|minutes| T0 + MINUTE * minutes);
        Session {
            credentials: Credentials::new("AKIDEXAMPLE", "s", None, expiry, "test"),
            arn: None,
            issued: T0,
            is_clamped: false,
        }
    }

    #[test]
    fn freshness_by_time_left() {
        for (life, now, fresh, usable) in [
            (60, 0, true, true),
            (60, 45, true, true),
            (60, 46, false, true),
            (60, 59, false, true),
            (60, 60, false, false),
            (15, 7, true, true),
            (15, 8, false, true),
        ] {
            let now = T0 + MINUTE * now;
            assert_eq!(
                (session(Some(life)).is_fresh(now), session(Some(life)).is_usable(now)),
                (fresh, usable),
                "{life} {now:?}"
            );
        }
        assert!(session(None).is_fresh(T0));
        assert!(!session(None).is_fresh(T0 + MINUTE));
        assert!(session(None).is_usable(T0 + MINUTE * 99999));
    }

    #[test]
    fn row_84_a_token_never_claims_to_outlive_its_session() {
        let life = |left: u32| {
            let now = T0 + MINUTE * (60 - left);
            session(Some(60)).token_expires(now).duration_since(now).unwrap().as_secs() / 60
        };
        assert_eq!(life(60), 14);
        assert_eq!(life(15), 14);
        assert_eq!(life(10), 9);
        assert_eq!(life(2), 1);
        assert_eq!(session(None).token_expires(T0), T0 + MINUTE * 14);
    }

    #[test]
    fn status_shows_four_characters_of_the_key_id() {
        assert_eq!(session(Some(1)).status(&Clock::machine()).key_id_suffix, "MPLE");
    }
}
