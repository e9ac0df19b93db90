//! The error of a request: what failed, for which profile, and a hint.

use rolecall_protocol::{ErrorBody, ErrorCode, ExecInfoError, ProfileName, SourceName, similar_names};

use rolecall_core::config::ConfigError;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AgentError(pub ErrorBody);

impl AgentError {
    /// Creates the error of a profile: its name precedes the message.
    #[must_use]
    pub fn new(name: &ProfileName, body: ErrorBody) -> Self {
        Self(ErrorBody { message: format!("{name}: {}", body.message), ..body })
    }

    pub(super) fn internal(name: &ProfileName) -> Self {
        Self::new(name, ErrorBody::new(ErrorCode::Internal, "cannot write the response"))
    }

    pub(super) fn config(error: &ConfigError) -> Self {
        Self(ErrorBody::new(ErrorCode::ConfigInvalid, error.to_string()))
    }

    pub(super) fn exec_info(name: &ProfileName, error: &ExecInfoError) -> Self {
        let hint = match error {
            ExecInfoError::ApiVersion(_) => format!("Update the kubeconfig: rolecall kubeconfig {name}"),
            ExecInfoError::Malformed { .. } => "Unset KUBERNETES_EXEC_INFO if you run the command by hand.".to_owned(),
        };
        Self::new(name, ErrorBody::new(ErrorCode::ExecInfoInvalid, error.to_string()).hint(hint))
    }

    /// Returns the error of a source that is not among `known`.
    pub(super) fn unknown_source<'a>(name: &SourceName, known: impl Iterator<Item = &'a SourceName>) -> Self {
        let known: Vec<&str> = known.map(SourceName::as_str).collect();
        let hint = match (similar_names(name.as_str(), known.iter().copied()).as_slice(), known.as_slice()) {
            ([], []) => "There are no sources yet. Add one: rolecall add --help".to_owned(),
            ([], known) => format!("There are: {}.", known.join(", ")),
            (near, _) => format!("Did you mean {}?", near.join(" or ")),
        };
        Self(ErrorBody::new(ErrorCode::UnknownSource, format!("there is no source \"{name}\"")).hint(hint))
    }

    /// Returns the error of an unknown profile. `problem` is the error of an invalid configuration file, which may have the
    /// profile; `near` are profiles with similar names; `none` is true if there are no profiles.
    pub(super) fn unknown_profile(
        name: &ProfileName,
        near: &[&str],
        none: bool,
        problem: Option<&ConfigError>,
    ) -> Self {
        let message = format!("there is no profile \"{name}\"");
        if let Some(problem) = problem {
            let message = format!("{message}, and the configuration is invalid: {problem}");
            return Self(ErrorBody::new(ErrorCode::ConfigInvalid, message).hint("Correct that line."));
        }
        let hint = match near {
            [] if none => "There are no profiles yet. Add one: rolecall add --help",
            [] => "See rolecall list.",
            near => &format!("Did you mean {}?", near.join(" or ")),
        };
        Self(ErrorBody::new(ErrorCode::UnknownProfile, message).hint(hint))
    }
}
