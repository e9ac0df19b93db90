//! Where base credentials come from. One file per kind of source; each answers a [`Session`].

mod aws_profile;
pub mod watch;

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, Region, SourceName};

use crate::aws::Aws;
use crate::config::{SourceConfig, SourceKind};
use crate::session::Session;

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
    /// A role of the AWS profile wants a code of an MFA device, which nobody asks the person for yet.
    #[error("AWS profile \"{profile}\" wants an MFA code (mfa_serial), and Rolecall cannot ask for one yet")]
    MfaNeeded {
        /// The AWS profile.
        profile: String,
    },
    /// A login has ended.
    #[error("the login of AWS profile \"{profile}\" has expired")]
    LoginNeeded {
        /// The AWS profile.
        profile: String,
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

/// Gets a source's credentials. Reads AWS's files anew each time, so that what a person changed there counts.
pub async fn resolve(aws: &Aws, source: &SourceConfig, region: &Region) -> Result<Session, SourceError> {
    match &source.kind {
        SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => {
            aws_profile::resolve(aws, profile, region).await
        }
        SourceKind::Keyring(name) => Err(SourceError::Files(format!("keys {name}: the keyring is not read yet"))),
    }
}

impl SourceError {
    /// What has to happen for it to end.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::LoginNeeded { .. } | Self::MfaNeeded { .. } => ErrorClass::Login,
            Self::Failed { .. } => ErrorClass::Retry,
            Self::Files(_) | Self::NoProfile { .. } | Self::Invalid { .. } => ErrorClass::Change,
        }
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let (code, hint) = match self {
            Self::LoginNeeded { profile } => {
                (ErrorCode::LoginNeeded, format!("Run: aws sso login --profile {profile}"))
            }
            Self::Failed { profile, .. } => {
                (ErrorCode::SourceUnavailable, format!("Try: aws sts get-caller-identity --profile {profile}"))
            }
            Self::NoProfile { advice, .. } => (ErrorCode::SourceUnavailable, advice.clone()),
            Self::MfaNeeded { .. } => (
                ErrorCode::LoginNeeded,
                "Use an AWS profile whose credential_process asks for the code, or one without mfa_serial.".to_owned(),
            ),
            Self::Files(_) | Self::Invalid { .. } => {
                (ErrorCode::SourceUnavailable, "Mend it in AWS's own configuration.".to_owned())
            }
        };
        ErrorBody::new(code, format!("source \"{source}\": {self}")).hint(hint)
    }
}
