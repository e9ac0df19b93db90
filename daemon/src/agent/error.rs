//! An answer that is an error: what happened, to which profile, and what to do next.

use rolecall_protocol::{ErrorBody, ErrorCode, ExecInfoError, ProfileName, SourceName, similar_names};

use crate::pin::PinError;
use rolecall_core::config::ConfigError;

/// Why the agent does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AgentError(pub ErrorBody);

impl AgentError {
    /// Something that happened to a profile.
    #[must_use]
    pub fn new(name: &ProfileName, body: ErrorBody) -> Self {
        Self(ErrorBody { message: format!("{name}: {}", body.message), ..body })
    }

    pub(super) fn internal(name: &ProfileName) -> Self {
        Self::new(name, ErrorBody::new(ErrorCode::Internal, "the answer could not be written"))
    }

    pub(super) fn config(error: &ConfigError) -> Self {
        Self(ErrorBody::new(ErrorCode::ConfigInvalid, error.to_string()))
    }

    pub(super) fn pin(name: &ProfileName, error: &PinError) -> Self {
        tracing::warn!(profile = %name, %error, "Pin mismatch; no token given");
        Self::new(name, error.body(name))
    }

    pub(super) fn exec_info(name: &ProfileName, error: &ExecInfoError) -> Self {
        let hint = match error {
            ExecInfoError::ApiVersion(_) => format!("Write the context anew: rolecall kubeconfig {name}"),
            ExecInfoError::Malformed { .. } | ExecInfoError::Kind => {
                "kubectl sets it; unset it to run by hand.".to_owned()
            }
        };
        Self::new(name, ErrorBody::new(ErrorCode::ExecInfoInvalid, error.to_string()).hint(hint))
    }

    /// No such source.
    pub(super) fn unknown_source<'a>(name: &SourceName, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let hint = match (similar_names(name.as_str(), known.iter().copied()).as_slice(), known.as_slice()) {
            ([], []) => "There are no sources yet. Add one: rolecall add --help".to_owned(),
            ([], known) => format!("There are: {}.", known.join(", ")),
            (near, _) => format!("Did you mean {}?", near.join(" or ")),
        };
        Self(ErrorBody::new(ErrorCode::UnknownSource, format!("there is no source \"{name}\"")).hint(hint))
    }

    /// No such profile. `problem` is why the configuration on disk is not in force: the profile may well be in there.
    pub(super) fn unknown_profile(
        name: &ProfileName,
        near: &[&str],
        none: bool,
        problem: Option<&ConfigError>,
    ) -> Self {
        let body = match (problem, near) {
            (Some(problem), _) => ErrorBody::new(
                ErrorCode::ConfigInvalid,
                format!("there is no profile \"{name}\" in force, and the configuration is wrong: {problem}"),
            )
            .hint("Mend that line."),
            (None, []) if none => ErrorBody::new(ErrorCode::UnknownProfile, format!("there is no profile \"{name}\""))
                .hint("There are no profiles yet. Add one: rolecall add --help"),
            (None, []) => ErrorBody::new(ErrorCode::UnknownProfile, format!("there is no profile \"{name}\""))
                .hint("See rolecall list."),
            (None, near) => ErrorBody::new(ErrorCode::UnknownProfile, format!("there is no profile \"{name}\""))
                .hint(format!("Did you mean {}?", near.join(" or "))),
        };
        Self(body)
    }
}
