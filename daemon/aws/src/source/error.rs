//! Errors of sources, and the login that ends them.

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, Hint, KeyName, SourceName};

use super::process::ProcessError;
use crate::credentials::CredentialsError;
use crate::shared_config::{FileError, FileProblem, ProfileError, SettingsError};
use crate::sso::SsoError;
use crate::sso::SsoSession;

/// The hint for a program that failed.
pub const PROGRAM_HINT: &str = "Run it in a terminal. If it works there, it needs variables of your shell: list them in [environment] of config.toml, then run: rolecall agent stop";

/// Why a source returned no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// AWS's own files cannot be read or are malformed.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The AWS profile does not exist.
    #[error("AWS profile \"{profile}\" not found in {files}")]
    NoProfile {
        /// The name of the AWS profile.
        profile: String,
        /// The files that were read.
        files: String,
        /// The hint, which depends on the existing names.
        advice: String,
    },
    /// The AWS profile has no credentials, or an invalid value.
    #[error("AWS profile \"{profile}\": {message}")]
    Invalid {
        /// The AWS profile.
        profile: String,
        /// The error.
        message: String,
        /// What to change, if the error knows it.
        hint: Option<String>,
    },
    /// IAM Identity Center returned no credentials.
    #[error("AWS profile \"{profile}\": {error}")]
    Sso {
        /// The AWS profile.
        profile: String,
        /// The login that the AWS profile uses.
        session: SsoSession,
        /// The cause.
        error: SsoError,
    },
    /// The login has expired, or there was none.
    #[error("the login of AWS profile \"{profile}\" has expired")]
    LoginNeeded {
        /// The AWS profile.
        profile: String,
        /// The login.
        login: Login,
    },
    /// The `credential_process` returned no credentials.
    #[error("the credential_process of AWS profile \"{profile}\": {error}")]
    Process {
        /// The AWS profile.
        profile: String,
        /// The cause.
        error: ProcessError,
    },
    /// The source returned credentials that AWS cannot have issued.
    #[error("AWS profile \"{profile}\": {error}")]
    Credentials {
        /// The AWS profile.
        profile: String,
        /// The cause.
        error: CredentialsError,
    },
    /// The SDK returned no credentials.
    #[error("AWS profile \"{profile}\" returned no credentials: {message}")]
    Failed {
        /// The AWS profile.
        profile: String,
        /// The cause.
        message: String,
    },
}

/// The login that a source depends on: what the user has to do when it has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Log in to IAM Identity Center.
    Sso(SsoSession),
    /// Run `aws login` for this AWS profile.
    Aws {
        /// The AWS profile.
        profile: String,
    },
    /// Unlock the OS keyring.
    Keyring(KeyName),
}

impl Login {
    /// Whether both are the same login, so that one login ends the need for the other.
    #[must_use]
    pub fn is_shared_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sso(ours), Self::Sso(theirs)) => ours.name == theirs.name && ours.start_url == theirs.start_url,
            (ours, theirs) => ours == theirs,
        }
    }
}

impl From<ProfileError> for SourceError {
    fn from(ProfileError { profile, message, hint }: ProfileError) -> Self {
        Self::Invalid { profile, message, hint }
    }
}

impl From<SettingsError> for SourceError {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::File(error) => Self::Files(error),
            SettingsError::Profile(error) => error.into(),
        }
    }
}

impl SourceError {
    /// The error for a source that is an access key in the OS keyring.
    pub(super) fn no_aws_profile(name: &KeyName) -> Self {
        Self::Invalid {
            profile: name.to_string(),
            message: "is an access key of the OS keyring".to_owned(),
            hint: None,
        }
    }

    /// What ends the error: a login, time, or a change of the configuration.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::LoginNeeded { .. } => ErrorClass::Login,
            Self::Sso { error, .. } => error.class(),
            Self::Failed { .. } | Self::Process { .. } => ErrorClass::Retry,
            Self::Files(error) if error.is_transient() => ErrorClass::Retry,
            Self::Files(_) | Self::NoProfile { .. } | Self::Invalid { .. } | Self::Credentials { .. } => {
                ErrorClass::Change
            }
        }
    }

    /// The login that ends the error.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        match self {
            Self::LoginNeeded { login, .. } => Some(login.clone()),
            Self::Sso { session, error, .. } if error.class() == ErrorClass::Login => Some(Login::Sso(session.clone())),
            _ => None,
        }
    }

    /// The error in the protocol.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        if let Some(login) = self.login() {
            let message = match (login, self) {
                (_, Self::Sso { error: SsoError::NotLoggedIn, .. }) => format!("source \"{source}\" needs a login"),
                _ => format!("the login of source \"{source}\" has expired"),
            };
            return ErrorBody::new(ErrorCode::LoginNeeded, message)
                .hint(Hint::command(format!("rolecall login {source}")));
        }
        let hint = match self {
            Self::Process { profile, error } => {
                let message = format!(
                    "source \"{source}\": the credential_process of AWS profile \"{profile}\": {}",
                    error.with_printed()
                );
                return ErrorBody::new(ErrorCode::SourceUnavailable, message).hint(PROGRAM_HINT);
            }
            Self::Failed { profile, .. } => format!("Try: aws sts get-caller-identity --profile {profile}"),
            Self::NoProfile { advice, .. } => advice.clone(),
            Self::Files(FileError { problem: FileProblem::Untrusted(error), .. })
            | Self::Sso { error: SsoError::Untrusted(error), .. } => error.advice(),
            Self::Invalid { hint: Some(hint), .. } => hint.clone(),
            Self::Credentials { .. } => {
                "Correct the credentials in AWS's own files, or the program that prints them.".to_owned()
            }
            Self::Sso { error: SsoError::Aws(error), .. } if error.of_endpoint("").is_some() => {
                error.of_endpoint("").map(|(_, hint)| hint.to_owned()).unwrap_or_default()
            }
            Self::Sso { error, .. } if error.class() == ErrorClass::Retry => "Try again in a moment.".to_owned(),
            Self::Sso { .. } => "Check the account and the role of the AWS profile with: aws configure sso".to_owned(),
            _ => "Fix it in AWS's own configuration.".to_owned(),
        };
        ErrorBody::new(ErrorCode::SourceUnavailable, format!("source \"{source}\": {self}")).hint(hint)
    }
}
