//! Why there is no session, what has to happen for that to end, and for how long it makes no sense to ask again.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, KeyName, SourceName};

use super::mfa::MfaError;
use crate::keyring::KeyringError;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::{Login, SourceError};
use rolecall_aws::sts::StsError;
use rolecall_core::single_flight::{FailureTtl, LoadError};

/// How long what may pass is remembered, growing from the first to the second: kubectl runs its plugin six times in a row,
/// and a person tries again.
const TRANSIENT: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// How long what somebody has to change is remembered (B7).
const DENIAL: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(1)];

/// Why a session could not be got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The source gave nothing.
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
    /// A code of an MFA device is needed, or did not do.
    #[error(transparent)]
    Code(#[from] MfaError),
    /// A step failed.
    #[error(transparent)]
    RoleStep(#[from] StsError),
    /// The source gave credentials that are over.
    #[error("the credentials are over")]
    Ended,
    /// A flight took too long.
    #[error("no answer in time")]
    Overdue,
    /// The flight is still under way; told only where there is something to serve meanwhile.
    #[error("AWS has not answered yet")]
    Slow,
    /// A flight ended without a word.
    #[error("a task ended unexpectedly")]
    Lost,
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
        match self.class() {
            // Whoever left the endpoint alone knows best for how long.
            _ if self.is_repeated() => Duration::ZERO,
            ErrorClass::Login => Duration::MAX,
            ErrorClass::Change => doubled(DENIAL, failures),
            _ => doubled(TRANSIENT, failures).max(self.retry_after().unwrap_or_default()),
        }
    }
}

/// From the first to the second, doubled with each failure after the first.
fn doubled([first, most]: [Duration; 2], failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(most)
}

impl SessionError {
    /// What has to happen for it to end.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Keyring { error, .. } => error.class(),
            Self::Code(error) => error.class(),
            Self::RoleStep(error) => error.error.kind.class(),
            Self::Overdue | Self::Slow | Self::Lost => ErrorClass::Retry,
            Self::Ended => ErrorClass::Change,
        }
    }

    /// The login that would end it.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        match self {
            Self::Source(error) => error.login(),
            // The keyring does not say when it is unlocked, so another attempt is made all the same.
            Self::Keyring { name, error: KeyringError::Locked | KeyringError::Prompting } => {
                Some(Login::Keyring(name.clone()))
            }
            _ => None,
        }
    }

    /// Whether the same attempt may well succeed in a moment.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.class(), ErrorClass::Retry | ErrorClass::Clock)
    }

    /// Whether another source, or what it gives, would change it.
    pub(super) const fn is_of_the_source(&self) -> bool {
        match self {
            Self::Source(_) | Self::Keyring { .. } | Self::Code(_) | Self::Ended => true,
            Self::RoleStep(error) => matches!(error.error.kind, AwsErrorKind::CredentialsRejected),
            Self::Overdue | Self::Slow | Self::Lost => false,
        }
    }

    pub(super) const fn is_throttled(&self) -> bool {
        matches!(self, Self::RoleStep(error) if matches!(error.error.kind, AwsErrorKind::Throttled))
    }

    /// Whether AWS was not even asked, since it was left alone.
    pub(super) const fn is_repeated(&self) -> bool {
        matches!(self, Self::RoleStep(error) if error.error.is_breaker_open)
    }

    /// How long AWS, or our own patience with it, wants no other call.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RoleStep(error) => error.error.retry_after,
            _ => None,
        }
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        match self {
            Self::Source(error) => error.body(source),
            Self::Keyring { name, error } if self.login().is_some() => {
                let message = format!("source \"{source}\": keys \"{name}\": {error}");
                ErrorBody::new(ErrorCode::LoginNeeded, message).hint(format!("Run: rolecall login {source}"))
            }
            Self::Keyring { name, error } => {
                let body = error.body(Some(name));
                let message = format!("source \"{source}\": {}", body.message);
                ErrorBody { message, ..body }
            }
            Self::Code(error) => error.body(source),
            Self::RoleStep(error) => error.body(source),
            Self::Ended => {
                let message = format!("source \"{source}\" gave credentials that are over already");
                ErrorBody::new(ErrorCode::SourceUnavailable, message).hint(
                    "Renew them in AWS's own configuration; rolecall show tells where the source takes them from.",
                )
            }
            Self::Overdue | Self::Slow => {
                let message = format!("source \"{source}\" or AWS behind it: {self}");
                ErrorBody::new(ErrorCode::Timeout, message).hint("Check the network, and what the source has to run.")
            }
            Self::Lost => ErrorBody::new(ErrorCode::Internal, "a task of the daemon ended unexpectedly")
                .hint("See rolecall agent logs, and try again."),
        }
    }
}
