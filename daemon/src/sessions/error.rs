//! Why a session could not be loaded, and what ends the failure.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, Hint, KeyName, SourceName};

use super::mfa::MfaError;
use crate::keyring::KeyringError;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::{Login, SourceError};
use rolecall_aws::sts::StsError;
use rolecall_core::refresh::failure_ttl;
use rolecall_core::single_flight::{FailureTtl, LoadError};

/// Why a session could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The source gave no credentials.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The OS keyring gave no access key.
    #[error("keys \"{name}\": {error}")]
    Keyring {
        /// The access key.
        name: KeyName,
        /// Why.
        error: KeyringError,
    },
    /// An MFA code is needed, or was refused.
    #[error(transparent)]
    Mfa(#[from] MfaError),
    /// An AssumeRole of the role chain failed.
    #[error(transparent)]
    Sts(#[from] StsError),
    /// AWS denied a role, and the configuration explains why.
    #[error("{error}")]
    Denied {
        /// The error of STS.
        error: StsError,
        /// Why.
        reason: DenialReason,
    },
    /// The source gave expired credentials.
    #[error("the credentials have expired")]
    Ended,
    /// The load took too long.
    #[error("no answer in time")]
    Overdue,
    /// The load is still in flight. Only callers who have a usable session get this.
    #[error("AWS has not answered yet")]
    Slow,
    /// The load was cancelled or panicked.
    #[error("a task ended unexpectedly")]
    Lost,
}

/// Why AWS denied a role, by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenialReason {
    /// The credentials that assume the role are a session of the same role.
    IsThisRole,
    /// An MFA device is configured where it has no effect. The text says where, and what to change.
    UnusedMfa(String),
}

/// A failure as the cache shares it.
pub type SessionFailure = Arc<SessionError>;

/// Returns the error of a failed load; a load that panicked is [`SessionError::Lost`].
pub(super) fn of_load(failure: LoadError<SessionError>) -> SessionFailure {
    match failure {
        LoadError::Failed(error) => error,
        LoadError::Lost => Arc::new(SessionError::Lost),
    }
}

impl FailureTtl for SessionError {
    fn failure_ttl(&self, failures: u32) -> Duration {
        failure_ttl(self.class(), failures, self.retry_after(), self.is_repeated())
    }
}

impl SessionError {
    /// Returns what ends the failure.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Keyring { error, .. } => error.class(),
            Self::Mfa(error) => error.class(),
            Self::Sts(error) | Self::Denied { error, .. } => error.error.kind.class(),
            Self::Overdue | Self::Slow | Self::Lost => ErrorClass::Retry,
            Self::Ended => ErrorClass::Change,
        }
    }

    /// Returns the login that ends the failure.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        match self {
            Self::Source(error) => error.login(),
            // The keyring does not report that it was unlocked, so the attempt is repeated as well.
            Self::Keyring { name, error: KeyringError::Locked | KeyringError::Prompting } => {
                Some(Login::Keyring(name.clone()))
            }
            _ => None,
        }
    }

    /// Whether the same attempt may succeed soon.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.class(), ErrorClass::Retry | ErrorClass::Clock)
    }

    /// Whether other credentials of the source may end the failure.
    pub(super) const fn is_of_the_source(&self) -> bool {
        match self {
            Self::Source(_) | Self::Keyring { .. } | Self::Mfa(_) | Self::Ended => true,
            Self::Sts(error) => matches!(error.error.kind, AwsErrorKind::CredentialsRejected),
            Self::Denied { .. } | Self::Overdue | Self::Slow | Self::Lost => false,
        }
    }

    pub(super) const fn is_throttled(&self) -> bool {
        matches!(self, Self::Sts(error) if matches!(error.error.kind, AwsErrorKind::Throttled))
    }

    /// Whether AWS was not called because the circuit breaker is open.
    pub(super) const fn is_repeated(&self) -> bool {
        matches!(self, Self::Sts(error) if error.error.is_breaker_open)
    }

    /// Returns how long AWS, or the circuit breaker, wants no further call.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sts(error) => error.error.retry_after,
            _ => None,
        }
    }

    /// Returns the error as the client gets it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        match self {
            Self::Source(error) => error.body(source),
            Self::Keyring { name, error } if self.login().is_some() => {
                let message = format!("source \"{source}\": keys \"{name}\": {error}");
                ErrorBody::new(ErrorCode::LoginNeeded, message).hint(Hint::command(format!("rolecall login {source}")))
            }
            Self::Keyring { name, error } => {
                let body = error.body(Some(name));
                let message = format!("source \"{source}\": {}", body.message);
                ErrorBody { message, ..body }
            }
            Self::Mfa(error) => error.body(source),
            Self::Sts(error) => error.body(source),
            Self::Denied { error, reason } => {
                let body = error.body(source);
                match reason {
                    DenialReason::IsThisRole => {
                        let message = format!("{}; source \"{source}\" already is this role", body.message);
                        ErrorBody { message, ..body }.hint("Leave --role-arn out, or remove role_arn from the profile.")
                    }
                    DenialReason::UnusedMfa(advice) => body.hint(advice),
                }
            }
            Self::Ended => {
                let message = format!("source \"{source}\" gave expired credentials");
                ErrorBody::new(ErrorCode::SourceUnavailable, message)
                    .hint("Renew them where the source takes them from; rolecall show names it.")
            }
            Self::Overdue | Self::Slow => {
                let message = format!("source \"{source}\" or AWS: {self}");
                ErrorBody::new(ErrorCode::Timeout, message)
                    .hint("Check the network and [network] in config.toml (proxy, no_proxy, ca_bundle), and the command that the source runs.")
            }
            Self::Lost => ErrorBody::new(ErrorCode::Internal, "a task of the daemon ended unexpectedly")
                .hint("Try again, and see: rolecall agent logs"),
        }
    }
}
