//! A user's own access keys at AWS. The only module that calls IAM.

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rolecall_protocol::{KeyName, Region};

use crate::client::ATTEMPT;
use crate::client::Aws;
use crate::error::AwsError;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::SourceKind;
use rolecall_core::config::home_of;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::profile::Endpoint;

/// Why IAM did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.message)]
pub struct IamError {
    /// What AWS says.
    pub error: AwsError,
    /// Its code, where it has one.
    code: Option<String>,
}

impl IamError {
    /// Whether the user has as many access keys as IAM allows (two).
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("LimitExceeded"))
    }

    /// Whether there is no such key (any more).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("NoSuchEntity"))
    }
}

/// Makes another access key for the user whose keys sign.
pub async fn create_access_key(
    aws: &Aws,
    name: &KeyName,
    region: &Region,
    base: &Credentials,
) -> Result<Credentials, IamError> {
    let (endpoint, client) = client(aws, name, region, base).await;
    let code = OnceLock::new();
    let send = async { client.create_access_key().send().await.inspect_err(|error| note(error, &code)) };
    let answer = aws.call(&endpoint, ATTEMPT, Box::pin(send)).await;
    let answer = answer.map_err(|error| IamError { error, code: code.into_inner() })?;
    let key = answer.access_key.filter(|key| !key.access_key_id.is_empty() && !key.secret_access_key.is_empty());
    match key {
        Some(key) => Ok(Credentials::new(key.access_key_id, key.secret_access_key, None, None, "CreateAccessKey")),
        None => Err(IamError { error: AwsError::garbled("IAM answered without a key"), code: None }),
    }
}

/// Deletes an access key of the user whose keys sign.
pub async fn delete_access_key(
    aws: &Aws,
    name: &KeyName,
    region: &Region,
    base: &Credentials,
    id: &str,
) -> Result<(), IamError> {
    let (endpoint, client) = client(aws, name, region, base).await;
    let code = OnceLock::new();
    let request = client.delete_access_key().access_key_id(id);
    let send = async { request.send().await.inspect_err(|error| note(error, &code)) };
    let answer = aws.call(&endpoint, ATTEMPT, Box::pin(send)).await;
    answer.map(drop).map_err(|error| IamError { error, code: code.into_inner() })
}

async fn client(aws: &Aws, name: &KeyName, region: &Region, base: &Credentials) -> (Endpoint, aws_sdk_iam::Client) {
    let source = SourceConfig::plain(SourceKind::Keyring(name.clone()));
    // IAM is in one region of each partition (IAM endpoints and quotas, AWS General Reference).
    let region = home_of(region);
    let shared = aws.client_config(&source, &region, base.clone()).await;
    let client = aws_sdk_iam::Client::new(&shared);
    (Endpoint { source, region, sts: StsAddress::default() }, client)
}

/// Notes the code of an error, which [`AwsError`] has only the meaning of.
fn note<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, code: &OnceLock<String>) {
    if let SdkError::ServiceError(error) = error
        && let Some(said) = error.err().code()
    {
        code.get_or_init(|| said.to_owned());
    }
}
