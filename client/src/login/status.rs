//! The state of a source's login as text.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rolecall_protocol::{LoginKind, LoginStatus, SourceName};

use crate::format_time;

/// A login that is not renewed automatically ends soon if less than this is left.
const ENDS_SOON_BELOW: SignedDuration = SignedDuration::from_mins(15);

/// How soon the user has to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// No login is needed, as far as the daemon knows.
    None,
    /// On the first use.
    FirstUse,
    /// In less than [`ENDS_SOON_BELOW`].
    Soon,
    Now,
}

impl Urgency {
    /// The command that the user runs.
    pub(crate) fn command(self, source: &SourceName) -> Option<String> {
        match self {
            Self::None => None,
            Self::FirstUse | Self::Now => Some(format!("rolecall login {source}")),
            Self::Soon => Some(format!("rolecall login {source} --renew")),
        }
    }
}

/// The state of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginSummary {
    /// For example `signed in until 19:42`.
    pub(crate) words: String,
    /// How soon the user has to log in.
    pub(crate) urgency: Urgency,
}

impl LoginSummary {
    /// Summarises a login; `None` if the source needs none. `is_needed`: a profile or the source waits for the login.
    /// `is_served`: profiles have sessions without it.
    pub(crate) fn of(
        login: Option<&LoginStatus>,
        is_needed: bool,
        is_served: impl FnOnce() -> bool,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Self> {
        let kind = login.map(|login| login.kind);
        let summary = |words: String, urgency| Some(Self { words, urgency });
        if is_needed {
            return summary(needed(kind).to_owned(), Urgency::Now);
        }
        let LoginStatus { kind, ends, renews } = login?;
        let end = ends.filter(|end| *end > now);
        match (kind, end, renews) {
            // The keyring is unlocked.
            (LoginKind::Keyring, ..) => None,
            (LoginKind::Mfa, None, true) => summary("codes by command".to_owned(), Urgency::None),
            (_, None, false) if ends.is_some() => summary(needed(Some(*kind)).to_owned(), Urgency::Now),
            (LoginKind::Mfa, None, false) if is_served() => {
                summary("an MFA code for each session".to_owned(), Urgency::None)
            }
            (LoginKind::Mfa, None, false) => summary("needs an MFA code on first use".to_owned(), Urgency::FirstUse),
            (LoginKind::Sso, None, false) => summary("not logged in".to_owned(), Urgency::FirstUse),
            (LoginKind::Mfa, Some(end), _) => {
                let left = format_time::duration(end.duration_since(now));
                let then = if *renews { ", then by command" } else { "" };
                summary(format!("MFA session valid for {left}{then}"), urgency(end, *renews, now))
            }
            (_, None, true) => summary("signed in, renewed automatically".to_owned(), Urgency::None),
            (_, None, false) => summary("signed in".to_owned(), Urgency::None),
            (_, Some(end), true) => summary(
                format!("signed in until {}, renewed automatically", format_time::short_time(now, end, zone)),
                Urgency::None,
            ),
            (_, Some(end), false) => {
                let urgency = urgency(end, false, now);
                let left = if urgency == Urgency::Soon {
                    format!(", {}", format_time::time_left(now, end))
                } else {
                    String::new()
                };
                summary(format!("signed in until {}{left}", format_time::short_time(now, end, zone)), urgency)
            }
        }
    }
}

fn urgency(end: Timestamp, renews: bool, now: Timestamp) -> Urgency {
    if renews || end.duration_since(now) >= ENDS_SOON_BELOW { Urgency::None } else { Urgency::Soon }
}

const fn needed(kind: Option<LoginKind>) -> &'static str {
    match kind {
        Some(LoginKind::Mfa) => "MFA code needed",
        Some(LoginKind::Keyring) => "keyring locked",
        _ => "login needed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_every_kind_of_login() {
        let now = "2026-01-02T12:00:00Z".parse().unwrap();
        let summary = |kind: &str, ends: Option<&str>, renews: bool, is_served: bool| {
            let login = serde_json::json!({"kind": kind, "ends": ends, "renews": renews});
            let login = serde_json::from_value(login).unwrap();
            let standing = LoginSummary::of(Some(&login), false, || is_served, now, &TimeZone::UTC)?;
            Some((standing.words, standing.urgency))
        };
        let evening = Some("2026-01-02T19:42:00Z");
        for (kind, ends, renews, is_served, words, urgency) in [
            ("sso", evening, false, true, "signed in until 19:42", Urgency::None),
            ("sso", evening, true, true, "signed in until 19:42, renewed automatically", Urgency::None),
            ("sso", Some("2026-01-03T01:00:00Z"), false, true, "signed in until 2026-01-03 01:00", Urgency::None),
            ("sso", Some("2026-01-02T12:14:59Z"), false, true, "signed in until 12:14, 14 min left", Urgency::Soon),
            (
                "sso",
                Some("2026-01-02T12:14:59Z"),
                true,
                true,
                "signed in until 12:14, renewed automatically",
                Urgency::None,
            ),
            ("sso", Some("2026-01-02T11:00:00Z"), true, true, "signed in, renewed automatically", Urgency::None),
            ("sso", Some("2026-01-02T11:00:00Z"), false, true, "login needed", Urgency::Now),
            ("sso", None, false, true, "not logged in", Urgency::FirstUse),
            ("mfa", Some("2026-01-02T23:30:00Z"), false, true, "MFA session valid for 11 h 30 min", Urgency::None),
            ("mfa", Some("2026-01-02T12:10:00Z"), false, true, "MFA session valid for 10 min", Urgency::Soon),
            (
                "mfa",
                Some("2026-01-02T12:10:00Z"),
                true,
                true,
                "MFA session valid for 10 min, then by command",
                Urgency::None,
            ),
            ("mfa", None, true, false, "codes by command", Urgency::None),
            ("mfa", None, false, false, "needs an MFA code on first use", Urgency::FirstUse),
            ("mfa", None, false, true, "an MFA code for each session", Urgency::None),
            ("mfa", Some("2026-01-02T12:00:00Z"), false, false, "MFA code needed", Urgency::Now),
            ("aws_login", None, true, true, "signed in, renewed automatically", Urgency::None),
            ("moon", None, false, true, "signed in", Urgency::None),
        ] {
            let wanted = Some((words.to_owned(), urgency));
            assert_eq!(summary(kind, ends, renews, is_served), wanted, "{kind} {ends:?}");
        }
        assert_eq!(summary("keyring", None, false, true), None);
    }

    #[test]
    fn summary_needed_login_is_urgent() {
        let now = Timestamp::UNIX_EPOCH;
        let summary = |kind: Option<&str>| {
            let login = kind.map(|kind| serde_json::json!({"kind": kind}));
            let login = login.map(|login| serde_json::from_value(login).unwrap());
            LoginSummary::of(login.as_ref(), true, || true, now, &TimeZone::UTC).unwrap().words
        };
        assert_eq!([summary(None), summary(Some("sso"))], ["login needed", "login needed"]);
        assert_eq!([summary(Some("mfa")), summary(Some("keyring"))], ["MFA code needed", "keyring locked"]);
        assert_eq!(LoginSummary::of(None, false, || true, now, &TimeZone::UTC), None);
    }
}
