//! The template of a session's name: what CloudTrail shows.

use std::fmt;
use std::sync::Arc;

use rolecall_protocol::{InvalidName, SessionName};
use serde::{Deserialize, Serialize};

/// What is filled in.
const USER: &str = "{user}";
const HOST: &str = "{host}";
const PROFILE: &str = "{profile}";
/// What is filled in only when the role is assumed, since the source's credentials tell it.
const SOURCE_SESSION: &str = "{source_session}";
/// STS's bounds of a session's name.
const LENGTH: std::ops::RangeInclusive<usize> = 2..=64;

/// The name of a session as far as it is known before its role is assumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameTemplate(Arc<str>);

impl NameTemplate {
    /// Fills in a template, all but the session of its source. What is filled in is made to fit STS's alphabet; what the
    /// template itself says has to fit as it is.
    #[must_use]
    pub fn new(template: &str, user: &str, host: &str, profile: &str) -> Self {
        let filled = template.replace(USER, &fitting(user)).replace(HOST, &fitting(host));
        let filled = filled.replace(PROFILE, &fitting(profile));
        if filled.contains(SOURCE_SESSION) { Self(filled.into()) } else { Self(in_bounds(filled).into()) }
    }

    /// Whether only the source's credentials tell the rest.
    #[must_use]
    pub fn wants_source_session(&self) -> bool {
        self.0.contains(SOURCE_SESSION)
    }

    /// The name, for a source whose credentials belong to `arn`.
    pub fn fill(&self, arn: Option<&str>) -> Result<SessionName, InvalidName> {
        match arn.filter(|_| self.wants_source_session()) {
            Some(arn) => in_bounds(self.0.replace(SOURCE_SESSION, &fitting(session_of(arn)))).parse(),
            None => self.0.parse(),
        }
    }
}

impl From<SessionName> for NameTemplate {
    fn from(name: SessionName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a template makes a name that STS takes, whatever is filled in.
pub(super) fn check(template: &str) -> Result<(), InvalidName> {
    let fixed =
        [USER, HOST, PROFILE, SOURCE_SESSION].iter().fold(template.to_owned(), |text, part| text.replace(part, ""));
    let is_filled = fixed != template;
    // What is filled in has a character at least.
    let shortest = if is_filled { format!("{fixed}xx") } else { fixed };
    shortest.chars().take(LENGTH.end() + usize::from(!is_filled)).collect::<String>().parse::<SessionName>().map(drop)
}

/// The session's name in the ARN of an assumed role, the user's in that of a user, `root` in an account's own.
fn session_of(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or_default()
}

/// Within STS's bounds of length: what is too long is cut, and one character alone gets another.
fn in_bounds(name: String) -> String {
    match name.len() {
        length if length > *LENGTH.end() => name.chars().take(*LENGTH.end()).collect(),
        length if length < *LENGTH.start() => format!("{name:-<2}"),
        _ => name,
    }
}

/// Replaces what STS does not take by `-`.
fn fitting(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    match text.chars().map(fit).collect::<String>() {
        empty if empty.is_empty() => "unknown".to_owned(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, user: &str, host: &str) -> String {
        NameTemplate::new(template, user, host, "prod").fill(None).unwrap().to_string()
    }

    #[test]
    fn session_names_fit_whoever_it_is() {
        assert_eq!(name("{user}@{host}", "dev", "laptop"), "dev@laptop");
        assert_eq!(name("{user}@{host}", "J\u{f6}rg \u{dc}", ""), "J-rg--@unknown");
        assert_eq!(name("{user}", &"x".repeat(99), "").len(), 64);
        assert_eq!(name("{user}", "x", ""), "x-");
        assert_eq!(name("{profile}.{user}", "dev", ""), "prod.dev");
    }

    #[test]
    fn the_session_of_the_source_is_filled_in_last() {
        let template = NameTemplate::new("{user}+{source_session}", "dev", "laptop", "prod");
        assert!(template.wants_source_session());
        for (arn, expected) in [
            ("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_x_1/jo@example.com", "dev+jo@example.com"),
            ("arn:aws:iam::111122223333:user/team/jo", "dev+jo"),
            ("arn:aws:sts::111122223333:federated-user/jo", "dev+jo"),
            ("arn:aws:iam::111122223333:root", "dev+root"),
            ("arn:aws:iam::111122223333:user/a b", "dev+a-b"),
        ] {
            assert_eq!(template.fill(Some(arn)).unwrap().as_str(), expected);
        }
        assert_eq!(template.fill(Some(&format!("x/{}", "y".repeat(99)))).unwrap().as_str().len(), 64);
        assert!(template.fill(None).is_err());
    }

    #[test]
    fn what_a_template_says_itself_has_to_fit() {
        for good in ["{user}@{host}", "dev", "{source_session}", "{profile}", &"x".repeat(64), "{user}"] {
            check(good).unwrap();
        }
        for bad in ["a b", "{nobody}", "", "x", "{user", "user}", &"x".repeat(65), "{user}/{host}"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
