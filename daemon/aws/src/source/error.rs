//! Why a source gives nothing, and what has to happen for it to give something.

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, KeyName, SourceName};

use super::aws_profile::ProfileError;
use super::process::ProcessError;
use crate::sso::SsoError;
use crate::sso::SsoSession;

/// Why a source gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// AWS's own files cannot be read or make no sense.
    #[error("{0}")]
    Files(String),
    /// There is no such AWS profile.
    #[error("there is no AWS profile \"{profile}\" in {files}")]
    NoProfile {
        /// The name that was looked for.
        profile: String,
        /// Where.
        files: String,
        /// What to do about it: it depends on what is there.
        advice: String,
    },
    /// The AWS profile says nothing about credentials, or something wrong.
    #[error("AWS profile \"{profile}\": {message}")]
    Invalid {
        /// The AWS profile.
        profile: String,
        /// What is wrong.
        message: String,
    },
    /// IAM Identity Center gave nothing.
    #[error("AWS profile \"{profile}\": {error}")]
    Sso {
        /// The AWS profile.
        profile: String,
        /// The login that it goes by.
        session: SsoSession,
        /// Why.
        error: SsoError,
    },
    /// A login has ended, or there was none yet.
    #[error("the login of AWS profile \"{profile}\" has expired")]
    LoginNeeded {
        /// The AWS profile.
        profile: String,
        /// Which login.
        login: Login,
    },
    /// Its command gave nothing.
    #[error("the credential_process of AWS profile \"{profile}\": {error}")]
    Process {
        /// The AWS profile.
        profile: String,
        /// Why.
        error: ProcessError,
    },
    /// Getting them failed.
    #[error("AWS profile \"{profile}\" gave no credentials: {message}")]
    Failed {
        /// The AWS profile.
        profile: String,
        /// What happened.
        message: String,
    },
}

/// What a person has to do.
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
    /// Whether both are one: then whoever logs in to the one is logged in to the other.
    #[must_use]
    pub fn is_shared_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sso(ours), Self::Sso(theirs)) => ours.name == theirs.name && ours.start_url == theirs.start_url,
            (ours, theirs) => ours == theirs,
        }
    }
}

impl From<ProfileError> for SourceError {
    fn from(ProfileError { profile, message }: ProfileError) -> Self {
        Self::Invalid { profile, message }
    }
}

impl SourceError {
    /// A source that is an access key of the OS keyring is not read from AWS's files.
    pub(super) fn no_aws_profile(name: &KeyName) -> Self {
        Self::Invalid { profile: name.to_string(), message: "is an access key of the OS keyring".to_owned() }
    }

    /// What has to happen for it to end.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::LoginNeeded { .. } => ErrorClass::Login,
            Self::Sso { error, .. } => error.class(),
            Self::Failed { .. } | Self::Process { .. } => ErrorClass::Retry,
            Self::Files(_) | Self::NoProfile { .. } | Self::Invalid { .. } => ErrorClass::Change,
        }
    }

    /// The login that would end it.
    #[must_use]
    pub fn login(&self) -> Option<Login> {
        match self {
            Self::LoginNeeded { login, .. } => Some(login.clone()),
            Self::Sso { session, error, .. } if error.class() == ErrorClass::Login => Some(Login::Sso(session.clone())),
            _ => None,
        }
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        if let Some(login) = self.login() {
            let message = match (login, self) {
                (_, Self::Sso { error: SsoError::NotLoggedIn, .. }) => format!("source \"{source}\" needs a login"),
                _ => format!("the login of source \"{source}\" has expired"),
            };
            return ErrorBody::new(ErrorCode::LoginNeeded, message).hint(format!("Run: rolecall login {source}"));
        }
        let hint = match self {
            Self::Process { .. } => "Run the command by hand to see what it says.".to_owned(),
            Self::Failed { profile, .. } => format!("Try: aws sts get-caller-identity --profile {profile}"),
            Self::NoProfile { advice, .. } => advice.clone(),
            Self::Sso { error, .. } if error.class() == ErrorClass::Retry => {
                "Check the network, the VPN and the proxy.".to_owned()
            }
            Self::Sso { .. } => "Check the account and the role of the AWS profile: aws configure sso".to_owned(),
            _ => "Mend it in AWS's own configuration.".to_owned(),
        };
        ErrorBody::new(ErrorCode::SourceUnavailable, format!("source \"{source}\": {self}")).hint(hint)
    }
}
