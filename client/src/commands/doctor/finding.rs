//! The result of a check.

use serde::Serialize;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was checked, for example `socket folder`.
    pub(super) name: String,
    pub(super) state: State,
    /// What was found.
    pub(super) cause: String,
    /// What follows from it. Absent if it is as it should be.
    pub(super) consequence: Option<String>,
    /// What the user does about it.
    pub(super) fix: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Less protected than it could be, or unknown.
    Warning,
    /// A protection does not hold, or Rolecall does not work.
    Problem,
}

impl Finding {
    pub(super) fn ok(name: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, cause: cause.into(), consequence: None, fix: None }
    }

    pub(super) fn warning(
        name: impl Into<String>,
        cause: impl Into<String>,
        consequence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (consequence, fix) = (Some(consequence.into()), Some(fix.into()));
        Self { name: name.into(), state: State::Warning, cause: cause.into(), consequence, fix }
    }

    pub(super) fn problem(
        name: impl Into<String>,
        cause: impl Into<String>,
        consequence: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { state: State::Problem, ..Self::warning(name, cause, consequence, fix) }
    }
}
