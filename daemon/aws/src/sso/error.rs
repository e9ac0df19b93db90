//! Why IAM Identity Center gave no credentials or no login.

use std::time::Duration;

use rolecall_core::single_flight::{FailureTtl, LoadError};
use rolecall_protocol::ErrorClass;
use rolecall_trusted_file::TrustError;

use crate::error::AwsError;

/// Why there are no credentials, or no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SsoError {
    /// The login ended. The user has to log in again.
    #[error("login to IAM Identity Center required: {why}")]
    LoginNeeded {
        /// How the login ended.
        why: String,
    },
    /// There is no login.
    #[error("not logged in to IAM Identity Center")]
    NotLoggedIn,
    /// The user has no such role in that account, or the role or the account does not exist.
    #[error("IAM Identity Center has not assigned this role in this account to you")]
    NoAssignment,
    /// The user denied the login.
    #[error("the login was denied in the browser")]
    Denied,
    /// The user did not approve the login before it expired.
    #[error("the login was not approved in time")]
    Expired,
    /// The call to AWS failed.
    #[error("{}", .0.of_endpoint("IAM Identity Center").map_or_else(|| format!("IAM Identity Center: {}", .0.message), |(message, _)| message))]
    Aws(AwsError),
    /// Another user can change the token file.
    #[error("the login is not used: {0}")]
    Untrusted(#[from] TrustError),
    /// This machine failed: a file cannot be read or written, or no port can be opened.
    #[error("{0}")]
    File(String),
}

impl SsoError {
    /// What ends the error: a login, a change of the configuration, or time.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::LoginNeeded { .. } | Self::NotLoggedIn | Self::Denied | Self::Expired => ErrorClass::Login,
            Self::NoAssignment | Self::File(_) | Self::Untrusted(_) => ErrorClass::Change,
            Self::Aws(error) => error.kind.class(),
        }
    }

    pub(super) fn login_needed(why: &str) -> Self {
        Self::LoginNeeded { why: why.to_owned() }
    }

    /// The error of a refresh or login that was cancelled.
    pub(super) fn cancelled() -> Self {
        Self::login_needed("cancelled by a logout or by another login")
    }
}

impl From<AwsError> for SsoError {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

impl From<LoadError<Self>> for SsoError {
    fn from(error: LoadError<Self>) -> Self {
        match error {
            LoadError::Failed(error) => Self::clone(&error),
            LoadError::Lost => Self::login_needed("its task failed"),
        }
    }
}

impl FailureTtl for SsoError {
    /// The token file decides whether another attempt makes sense, so failures are not remembered.
    fn failure_ttl(&self, _failures: u32) -> Duration {
        Duration::ZERO
    }
}
