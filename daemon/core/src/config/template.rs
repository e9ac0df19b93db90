//! The template of the session name, which CloudTrail shows.

use std::fmt;
use std::sync::Arc;

use rolecall_protocol::{InvalidName, SessionName};
use serde::{Deserialize, Serialize};

/// The placeholders.
const USER: &str = "{user}";
const HOST: &str = "{host}";
const PROFILE: &str = "{profile}";
/// The placeholder for the session name of the source, which is known only when the role is assumed.
const SOURCE_SESSION: &str = "{source_session}";
/// The length of a session name that STS accepts.
const LENGTH: std::ops::RangeInclusive<usize> = 2..=64;

/// A session name with all placeholders filled in except `{source_session}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameTemplate(Arc<str>);

impl NameTemplate {
    /// Fills in a template except `{source_session}`. Characters of the values that STS rejects become `-`; the template
    /// itself has to be valid.
    #[must_use]
    pub fn new(template: &str, user: &str, host: &str, profile: &str) -> Self {
        let filled = template.replace(USER, &sanitized(user)).replace(HOST, &sanitized(host));
        let filled = filled.replace(PROFILE, &sanitized(profile));
        if filled.contains(SOURCE_SESSION) { Self(filled.into()) } else { Self(in_bounds(filled).into()) }
    }

    /// Returns whether the template has the placeholder `{source_session}`.
    #[must_use]
    pub fn needs_source_session(&self) -> bool {
        self.0.contains(SOURCE_SESSION)
    }

    /// Returns the session name for a source with the principal `arn`. Errors if the template needs the session of the source
    /// and `arn` is `None`.
    pub fn fill(&self, arn: Option<&str>) -> Result<SessionName, InvalidName> {
        match arn.filter(|_| self.needs_source_session()) {
            Some(arn) => in_bounds(self.0.replace(SOURCE_SESSION, &sanitized(last_part(arn)))).parse(),
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

/// Checks that a template gives a valid session name for all values.
pub(super) fn check(template: &str) -> Result<(), InvalidName> {
    let fixed =
        [USER, HOST, PROFILE, SOURCE_SESSION].iter().fold(template.to_owned(), |text, part| text.replace(part, ""));
    let is_filled = fixed != template;
    // A value has at least one character.
    let shortest = if is_filled { format!("{fixed}xx") } else { fixed };
    shortest.chars().take(LENGTH.end() + usize::from(!is_filled)).collect::<String>().parse::<SessionName>().map(drop)
}

/// Returns the last part of an ARN: the session name of an assumed role, the name of a user, or `root`.
fn last_part(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or_default()
}

/// Cuts a name that is too long and appends `-` to one that is too short.
fn in_bounds(name: String) -> String {
    match name.len() {
        length if length > *LENGTH.end() => name.chars().take(*LENGTH.end()).collect(),
        length if length < *LENGTH.start() => format!("{name:-<2}"),
        _ => name,
    }
}

/// Replaces each character that STS rejects by `-`.
fn sanitized(text: &str) -> String {
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
    fn session_name_of_any_user_is_valid() {
        assert_eq!(name("{user}@{host}", "dev", "laptop"), "dev@laptop");
        assert_eq!(name("{user}@{host}", "J\u{f6}rg \u{dc}", ""), "J-rg--@unknown");
        assert_eq!(name("{user}", &"x".repeat(99), "").len(), 64);
        assert_eq!(name("{user}", "x", ""), "x-");
        assert_eq!(name("{profile}.{user}", "dev", ""), "prod.dev");
    }

    #[test]
    fn source_session_is_filled_in_last() {
        let template = NameTemplate::new("{user}+{source_session}", "dev", "laptop", "prod");
        assert!(template.needs_source_session());
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
    fn template_text_itself_has_to_be_valid() {
        for good in ["{user}@{host}", "dev", "{source_session}", "{profile}", &"x".repeat(64), "{user}"] {
            check(good).unwrap();
        }
        for bad in ["a b", "{unknown}", "", "x", "{user", "user}", &"x".repeat(65), "{user}/{host}"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
