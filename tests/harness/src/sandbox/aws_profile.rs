//! AWS profiles of every kind.

use std::path::Path;

/// The settings of an AWS profile in `~/.aws/config`, without `region` and `services`.
#[derive(Clone, Debug, Default)]
pub struct AwsProfile(Vec<(String, String)>);

impl AwsProfile {
    /// A role that is assumed with the credentials of another AWS profile.
    pub fn role(role_arn: &str, source_profile: &str) -> Self {
        Self::default().with("role_arn", role_arn).with("source_profile", source_profile)
    }

    /// A role that is assumed with the credentials of the machine: `Ec2InstanceMetadata`, `EcsContainer` or
    /// `Environment`.
    pub fn role_of(role_arn: &str, credential_source: &str) -> Self {
        Self::default().with("role_arn", role_arn).with("credential_source", credential_source)
    }

    /// A role that is assumed with the token in a file.
    pub fn web_identity(role_arn: &str, token_file: &Path) -> Self {
        let file = token_file.display().to_string();
        Self::default().with("role_arn", role_arn).with("web_identity_token_file", &file)
    }

    /// Credentials that a program prints.
    pub fn process(command: &str) -> Self {
        Self::default().with("credential_process", command)
    }

    /// A login with `aws login`.
    pub fn login_session(session_arn: &str) -> Self {
        Self::default().with("login_session", session_arn)
    }

    /// Adds a setting: `mfa_serial`, `duration_seconds`, `external_id`, `role_session_name`, …
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.0.push((setting.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn settings(&self) -> &[(String, String)] {
        &self.0
    }
}
