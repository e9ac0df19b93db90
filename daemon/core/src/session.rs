//! A session: temporary credentials with their expiry. Freshness is a pure function of the time.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_protocol::SessionStatus;

use crate::clock::{Clock, time_until};

/// A session with less time left than this is renewed before it is used, unless the renewal has just failed. botocore asks for
/// credentials again on every call once they have less than 15 min left (C5).
const MIN_FRESH_TIME: Duration = Duration::from_mins(16);
/// A session counts as expired this long before its expiry, because clocks differ a little (B2).
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// How long credentials without an expiry stay fresh: the files of their source may have changed.
const NO_EXPIRY_TTL: Duration = Duration::from_mins(1);
/// The lifetime of a token. EKS accepts one for 15 min; both reference clients report 14 min.
const TOKEN_TTL: Duration = Duration::from_mins(14);
/// A token expires at least this long before its session (row 84).
const TOKEN_MARGIN: Duration = Duration::from_mins(1);

/// The credentials that a source or a role step returned. `Credentials` wipes its memory and prints no secret.
#[derive(Debug, Clone)]
pub struct Session {
    /// The access key, the secret and the session token.
    pub credentials: Credentials,
    /// The ARN that GetCallerIdentity would return; `None` for the credentials of a source.
    pub arn: Option<String>,
    /// When AWS or the source returned the credentials.
    pub issued: SystemTime,
    /// Whether AWS granted a shorter duration than requested.
    pub is_clamped: bool,
}

impl Session {
    /// Returns when AWS stops accepting the credentials; `None` for a long-lived access key.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.credentials.expiry()
    }

    /// Returns whether AWS still accepts the credentials for at least 5 s.
    #[must_use]
    pub fn is_usable(&self, now: SystemTime) -> bool {
        self.expires().is_none_or(|end| time_until(now, end) > EXPIRY_MARGIN)
    }

    /// Returns whether the session needs no renewal before it is used: at least 16 min are left, or half of its lifetime if
    /// that is shorter than 32 min. For example, a session of 1 h is fresh for 44 min.
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        match self.expires() {
            Some(end) => {
                time_until(now, end) >= MIN_FRESH_TIME.min(time_until(self.issued, end) / 2) && self.is_usable(now)
            }
            // Issued in the future: the clock was set back, so the age is unknown.
            None => now.duration_since(self.issued).is_ok_and(|age| age < NO_EXPIRY_TTL),
        }
    }

    /// Returns whether AWS stops accepting the credentials within this time.
    #[must_use]
    pub fn expires_within(&self, time: Duration, now: SystemTime) -> bool {
        self.expires().is_some_and(|end| time_until(now, end) < time)
    }

    /// Returns the expiry of a token that is signed now.
    #[must_use]
    pub fn token_expires(&self, now: SystemTime) -> SystemTime {
        let latest = now + TOKEN_TTL;
        self.expires().map_or(latest, |expiry| latest.min(expiry - TOKEN_MARGIN))
    }

    /// Returns whether both sessions hold the same credentials: a source often returns the credentials that it returned
    /// before.
    #[must_use]
    pub fn has_same_credentials(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.credentials, &other.credentials);
        ours.access_key_id() == theirs.access_key_id()
            && ours.secret_access_key() == theirs.secret_access_key()
            && ours.session_token() == theirs.session_token()
    }

    /// Returns the last four characters of the access key id, by which CloudTrail finds the session.
    #[must_use]
    pub fn key_id_suffix(&self) -> &str {
        let id = self.credentials.access_key_id();
        id.get(id.len().saturating_sub(4)..).unwrap_or_default()
    }

    /// Returns the part of the session that is not secret, with times of this machine's clock.
    #[must_use]
    pub fn status(&self, clock: &Clock) -> SessionStatus {
        SessionStatus {
            arn: self.arn.clone(),
            key_id_suffix: self.key_id_suffix().to_owned(),
            issued: clock.stamp(self.issued),
            expires: self.expires().map(|end| clock.stamp(end)),
            temporary: self.credentials.session_token().is_some(),
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
    fn session_time_left_decides_freshness() {
        for (life, now, fresh, usable) in [
            (60, 0, true, true),
            (60, 44, true, true),
            (60, 45, false, true),
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

    /// Fault matrix row 84.
    #[test]
    fn token_expires_before_its_session() {
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
    fn session_status_has_four_characters_of_key_id() {
        assert_eq!(session(Some(1)).status(&Clock::machine()).key_id_suffix, "MPLE");
    }
}
