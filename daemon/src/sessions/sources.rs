//! Base credentials of every kind of source: an AWS profile, or an access key of the OS keyring.

use rolecall_aws::client::Aws;
use rolecall_aws::source::Sources as AwsProfiles;
use rolecall_aws::source::{Principal, ResolvedSource};
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::session::Session;
use rolecall_protocol::{KeyName, Region};

use super::SessionError;
use crate::keyring::Keyring;

/// Reads base credentials from where a source says they are.
#[derive(Clone)]
pub struct Sources {
    aws: Aws,
    aws_profiles: AwsProfiles,
    keyring: Keyring,
}

impl Sources {
    /// Sessions of roles that AWS profiles name are called `session_name` where the AWS profile names none.
    pub(super) fn new(aws: Aws, keyring: Keyring, session_name: NameTemplate) -> Self {
        Self { aws_profiles: AwsProfiles::new(aws.clone(), session_name), aws, keyring }
    }

    /// The sources that AWS's own files describe.
    #[must_use]
    pub const fn aws_profiles(&self) -> &AwsProfiles {
        &self.aws_profiles
    }

    /// Returns the base credentials of a source, without MFA.
    pub(super) async fn resolve(&self, source: &SourceConfig, region: &Region) -> Result<ResolvedSource, SessionError> {
        match &source.kind {
            SourceKind::Keyring(name) => self.access_key(name).await,
            SourceKind::AwsProfile(_) | SourceKind::AwsProfileLeaf(_) => {
                Ok(self.aws_profiles.resolve(source, region).await?)
            }
        }
    }

    /// Returns the region in which a source's own STS calls are made: that of its AWS profile or access key, else `region`.
    pub(super) async fn home(&self, source: &SourceConfig, region: &Region) -> Region {
        match &source.kind {
            SourceKind::Keyring(name) => self.keyring.get(name).await.map_or_else(|_| region.clone(), |key| key.region),
            SourceKind::AwsProfile(_) | SourceKind::AwsProfileLeaf(_) => self.aws_profiles.home(source, region).await,
        }
    }

    async fn access_key(&self, name: &KeyName) -> Result<ResolvedSource, SessionError> {
        let key = self.keyring.get(name).await;
        let key = key.map_err(|error| SessionError::Keyring { name: name.clone(), error })?;
        let session = Session { credentials: key.credentials, arn: key.arn, issued: self.aws.now(), is_clamped: false };
        let principal = Principal::of_access_key(&session);
        Ok(ResolvedSource::Session { session: Box::new(session), login: None, principal })
    }
}
