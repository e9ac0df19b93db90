//! What a diagnosis finds: the messages of `rolecall doctor`.

use serde::{Deserialize, Serialize};

use crate::cluster::AccessQuery;
use crate::error::ErrorBody;
use crate::hint::Hint;
use crate::text::sanitize_for_terminal;

/// The body of [`Endpoint::Doctor`](crate::Endpoint::Doctor).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorRequest {
    /// The API server in the profile's kubeconfig entry. The daemon sends it a token only if it is that of the profile's pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<AccessQuery>,
    /// The namespace of the questions to RBAC. Empty for `default`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// A line of the response of [`Endpoint::Doctor`](crate::Endpoint::Doctor). The last one is [`Self::Done`] or [`Self::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DoctorStep {
    /// A check has begun.
    Checking {
        /// What is checked, for the user: `AssumeRole of arn:aws:iam::111122223333:role/developers`.
        what: String,
    },
    /// A check has ended.
    Found {
        /// What it found.
        finding: Finding,
    },
    /// All checks have ended, or the first one that makes the others meaningless has failed.
    Done,
    /// The request was refused: the profile does not exist, or the daemon is locked.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// A step that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The part of a connection that a check is about, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingArea {
    /// This computer: the programs, the socket, the configuration, the kubeconfig.
    Computer,
    /// The source, its login and the clock.
    Source,
    /// STS and the role chain.
    Role,
    /// The token, the network path to the API server, its certificate and the pin.
    ApiServer,
    /// Whether the cluster accepts the role, and what the role may do.
    Access,
    /// An area that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingState {
    /// As it should be.
    Ok,
    /// The check was not possible. Nothing is known to be wrong.
    NotChecked,
    /// It works, and less well or less protected than it could.
    Warning,
    /// It does not work, or a protection does not hold.
    Problem,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a check found. The texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What the check is about.
    pub area: FindingArea,
    /// The name of the check: `clock`, `assume role`.
    pub name: String,
    /// How bad it is.
    pub state: FindingState,
    /// The kind of problem, for programs: `login_expired`. Empty for [`FindingState::Ok`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// What was found.
    pub cause: String,
    /// What follows from it, in the words that kubectl prints where it prints something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// What the user does about it. In the JSON, `fix` is the command or the sentence, and `fix_is_command` says which.
    #[serde(flatten, with = "fix_fields")]
    pub fix: Option<Hint>,
    /// What to ask of an administrator, if the user alone cannot fix it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<AdministratorRequest>,
}

/// A request to the person who manages a role, an account or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdministratorRequest {
    /// Who can do it: `an administrator of the cluster prod`.
    pub to: String,
    /// What to do, as a sentence.
    pub request: String,
    /// The commands that do it. Any of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// The statement to add to a policy (JSON).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<serde_json::Value>,
}

impl Finding {
    /// Returns the finding of a check that found what it should.
    pub fn ok(area: FindingArea, name: impl AsRef<str>, cause: impl AsRef<str>) -> Self {
        Self::new(area, name.as_ref(), FindingState::Ok, "", cause.as_ref())
    }

    /// Returns the finding of a check that was not possible.
    pub fn not_checked(area: FindingArea, name: impl AsRef<str>, code: &str, cause: impl AsRef<str>) -> Self {
        Self::new(area, name.as_ref(), FindingState::NotChecked, code, cause.as_ref())
    }

    /// Returns the finding of something that works less well than it could.
    pub fn warning(area: FindingArea, name: impl AsRef<str>, code: &str, cause: impl AsRef<str>) -> Self {
        Self::new(area, name.as_ref(), FindingState::Warning, code, cause.as_ref())
    }

    /// Returns the finding of something that does not work.
    pub fn problem(area: FindingArea, name: impl AsRef<str>, code: &str, cause: impl AsRef<str>) -> Self {
        Self::new(area, name.as_ref(), FindingState::Problem, code, cause.as_ref())
    }

    fn new(area: FindingArea, name: &str, state: FindingState, code: &str, cause: &str) -> Self {
        Self {
            area,
            name: sanitize_for_terminal(name),
            state,
            code: code.to_owned(),
            cause: sanitize_for_terminal(cause),
            consequence: None,
            fix: None,
            administrator: None,
        }
    }

    /// Sets what follows from it.
    #[must_use]
    pub fn consequence(mut self, text: impl AsRef<str>) -> Self {
        self.consequence = Some(sanitize_for_terminal(text.as_ref()));
        self
    }

    /// Sets what the user does about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<Hint>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Sets what to ask of an administrator.
    #[must_use]
    pub fn administrator(mut self, request: AdministratorRequest) -> Self {
        self.administrator = Some(request);
        self
    }
}

/// The JSON of [`Finding::fix`]. An older daemon does not send `fix_is_command`.
mod fix_fields {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::hint::Hint;

    #[derive(Serialize, Deserialize)]
    struct Fields {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fix: Option<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fix_is_command: bool,
    }

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(fix: &Option<Hint>, serializer: S) -> Result<S::Ok, S::Error> {
        let fix_is_command = matches!(fix, Some(Hint::Command(_)));
        Fields { fix: fix.as_ref().map(|fix| fix.as_str().to_owned()), fix_is_command }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hint>, D::Error> {
        let Fields { fix, fix_is_command } = Fields::deserialize(deserializer)?;
        Ok(fix.map(if fix_is_command { Hint::Command } else { Hint::Text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_fix_says_whether_it_is_a_command() {
        let finding = Finding::problem(FindingArea::Computer, "lock", "locked", "it is locked");
        for (fix, json) in [
            (Some(Hint::command("rolecall unlock")), r#","fix":"rolecall unlock","fix_is_command":true}"#),
            (Some(Hint::text("Unlock it.")), r#","fix":"Unlock it."}"#),
            (None, r#""cause":"it is locked"}"#),
        ] {
            let finding = Finding { fix, ..finding.clone() };
            let text = serde_json::to_string(&finding).unwrap();
            assert!(text.ends_with(json), "{text}");
            assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        }
    }
}
