//! The parameter validation of STS with its texts: one ValidationError lists all violations.
//!
//! Source of the limits: the API reference of AssumeRole. Source of the texts: responses of the real STS that are
//! quoted in issues.

use super::super::error::ApiError;
use super::super::request::ParsedRequest;

/// `RoleSessionName` and `SourceIdentity`.
pub(crate) const NAME_PATTERN: (&str, &str) = (r"[\w+=,.@-]*", "+=,.@-_");
/// `ExternalId`.
pub(crate) const EXTERNAL_ID_PATTERN: (&str, &str) = (r"[\w+=,.@:\/-]*", "+=,.@:/-_");
/// `SerialNumber`
pub(crate) const SERIAL_PATTERN: (&str, &str) = (r"[\w+=/:,.@-]*", "+=/:,.@-_");
/// `TokenCode`
const TOKEN_CODE_PATTERN: &str = r"[\d]*";
/// Keys and values of tags.
const TAG_PATTERN: &str = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*";

/// Collects the violations of a request's parameters.
pub(crate) struct Validator<'a> {
    request: &'a ParsedRequest,
    violations: Vec<String>,
}

impl<'a> Validator<'a> {
    pub(crate) fn new(request: &'a ParsedRequest) -> Self {
        Self { request, violations: Vec::new() }
    }

    /// Returns a required parameter.
    pub(crate) fn required(&mut self, name: &str) -> &'a str {
        let value = self.request.param(name);
        if value.is_none() {
            self.missing(&lower_camel(name));
        }
        value.unwrap_or_default()
    }

    pub(crate) fn optional(&self, name: &str) -> Option<&'a str> {
        self.request.param(name)
    }

    /// Checks the length in characters; both limits are inclusive.
    pub(crate) fn length(&mut self, at: &str, value: &str, shortest: usize, longest: usize) {
        let length = value.chars().count();
        if length < shortest {
            self.push(at, value, &format!("Member must have length greater than or equal to {shortest}"));
        }
        if length > longest {
            self.push(at, value, &format!("Member must have length less than or equal to {longest}"));
        }
    }

    /// Allows ASCII letters and digits and the characters of the pattern.
    pub(crate) fn pattern(&mut self, at: &str, value: &str, (pattern, marks): (&str, &str)) {
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c)) {
            self.push(at, value, &format!("Member must satisfy regular expression pattern: {pattern}"));
        }
    }

    /// Allows digits only.
    pub(crate) fn digits(&mut self, at: &str, value: &str) {
        if !value.chars().all(|c| c.is_ascii_digit()) {
            self.push(at, value, &format!("Member must satisfy regular expression pattern: {TOKEN_CODE_PATTERN}"));
        }
    }

    /// Allows letters, spaces and numbers of any script, and a few marks.
    pub(crate) fn tag(&mut self, at: &str, value: &str) {
        // The white space of Unicode without control characters is Zs, Zl and Zp.
        let space = |c: char| c.is_whitespace() && !c.is_control();
        if !value.chars().all(|c| c.is_alphanumeric() || space(c) || "_.:/=+-@".contains(c)) {
            self.push(at, value, &format!("Member must satisfy regular expression pattern: {TAG_PATTERN}"));
        }
    }

    /// Reports a missing member.
    pub(crate) fn missing(&mut self, at: &str) {
        self.violations.push(format!("Value null at '{at}' failed to satisfy constraint: Member must not be null"));
    }

    /// Returns a whole number; both limits are inclusive. Returns `default` if the parameter is absent.
    pub(crate) fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        let Some(value) = self.request.param(name) else { return default };
        let at = lower_camel(name);
        let number: Option<i64> = value.parse().ok();
        match number {
            // The real STS responds with MalformedInput before it validates. No SDK sends such a value.
            None => self.push(&at, value, "Member must be an integer"),
            Some(number) if number < i64::try_from(least).expect("a limit") => {
                self.push(&at, value, &format!("Member must have value greater than or equal to {least}"));
            }
            Some(number) if number > i64::try_from(most).expect("a limit") => {
                self.push(&at, value, &format!("Member must have value less than or equal to {most}"));
            }
            Some(number) => return u64::try_from(number).expect("it is at least `least`"),
        }
        default
    }

    /// Allows at most `most` members of a list.
    pub(crate) fn count(&mut self, at: &str, count: usize, most: usize) {
        if count > most {
            self.push(
                at,
                &format!("[{count} members]"),
                &format!("Member must have length less than or equal to {most}"),
            );
        }
    }

    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.violations.len() {
            0 => Ok(()),
            1 => Err(ApiError::validation(format!("1 validation error detected: {}", self.violations[0]))),
            n => Err(ApiError::validation(format!("{n} validation errors detected: {}", self.violations.join("; ")))),
        }
    }

    fn push(&mut self, at: &str, value: &str, constraint: &str) {
        self.violations.push(format!("Value '{value}' at '{at}' failed to satisfy constraint: {constraint}"));
    }
}

/// Returns the members of a list, `Tags.member.1.Key` and so on, as the query protocol writes them. `suffix` is
/// `.Key`, or empty.
pub(crate) fn members<'a>(request: &'a ParsedRequest, list: &str, suffix: &str) -> Vec<&'a str> {
    (1..).map_while(|number| request.param(&format!("{list}.member.{number}{suffix}"))).collect()
}

fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}
