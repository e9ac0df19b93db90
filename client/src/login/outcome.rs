//! The result of a login.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{LoginStatus, LoginStep, SourceStatus, sanitize_for_terminal};

use crate::format_time;

/// The result of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginOutcome {
    pub(crate) source: SourceStatus,
    /// The principal of its credentials.
    pub(crate) arn: Option<String>,
    /// Whether the user did something.
    pub(crate) changed: bool,
}

impl From<LoginOutcome> for LoginStep {
    fn from(LoginOutcome { source, arn, changed }: LoginOutcome) -> Self {
        Self::Done { source, arn, changed }
    }
}

impl LoginOutcome {
    /// The result as text, such as `logged in as arn:… until 19:42 (7 h)`.
    pub(crate) fn text(&self, now: Timestamp, zone: &TimeZone) -> String {
        let whose = self.arn.as_deref().map(|arn| format!(" as {}", sanitize_for_terminal(arn))).unwrap_or_default();
        let state = match (&self.source.login, whose.as_str()) {
            (Some(login), whose) => format!("logged in{whose}{}", end_text(login, now, zone)),
            (None, "") => "it needs no login".to_owned(),
            (None, whose) => format!("it needs no login and signs{whose}"),
        };
        if self.changed { state } else { format!("nothing to do: {state}") }
    }
}

/// ` until 19:42 (7 h; renewed automatically until then)`.
pub(crate) fn end_text(login: &LoginStatus, now: Timestamp, zone: &TimeZone) -> String {
    match (login.ends, login.renews) {
        // The login is renewed at its end; when the renewal ends is unknown.
        (_, true) => " (renewed automatically)".to_owned(),
        (Some(end), false) => format!(" until {}", format_time::until(now, end, zone, None)),
        (None, false) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn done(step: serde_json::Value) -> LoginOutcome {
        match serde_json::from_value(step).unwrap() {
            LoginStep::Done { source, arn, changed } => LoginOutcome { source, arn, changed },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_names_principal_and_end() {
        let arn = "arn:aws:sts::111122223333:assumed-role/dev/x";
        let outcome_text = |login: serde_json::Value, arn: Option<&str>, changed| {
            let source = serde_json::json!({"name": "work", "kind": "AWS profile work", "login": login});
            let step = serde_json::json!({"step": "done", "source": source, "arn": arn, "changed": changed});
            done(step).text(at("2026-01-02T12:00:00Z"), &TimeZone::UTC)
        };
        let end = "2026-01-02T19:42:00Z";
        let sso = serde_json::json!({"kind": "sso", "ends": end, "renews": true});
        assert_eq!(outcome_text(sso.clone(), Some(arn), true), format!("logged in as {arn} (renewed automatically)"));
        assert!(outcome_text(sso, Some(arn), false).starts_with("nothing to do: logged in as arn:"));
        let mfa = serde_json::json!({"kind": "mfa", "ends": end});
        assert_eq!(outcome_text(mfa, None, true), "logged in until 19:42 (7 h 42 min)");
        let login = serde_json::json!({"kind": "aws_login", "renews": true});
        assert_eq!(outcome_text(login, None, true), "logged in (renewed automatically)");
        assert_eq!(outcome_text(serde_json::Value::Null, None, false), "nothing to do: it needs no login");
        assert_eq!(
            outcome_text(serde_json::Value::Null, Some("a\u{1b}b"), false),
            "nothing to do: it needs no login and signs as a\\u{1b}b"
        );
    }
}
