//! Base credentials from the SDK's providers: keys in files, web identity, `aws login`, instances and containers.

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::ProfileSet;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use rolecall_protocol::Region;

use super::Login;
use super::SourceError;
use crate::client::Aws;
use crate::error::innermost;
use crate::texts;

/// Returns the credentials of an AWS profile, which the SDK reads from the files or requests as they say.
pub(super) async fn credentials_from_files(
    aws: &Aws,
    profiles: &ProfileSet,
    profile: &str,
    region: &Region,
) -> Result<Credentials, SourceError> {
    let services = profiles.get_profile(profile).and_then(|found| found.get("services"));
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&provider_config(aws, profile, region).await?)
        .profile_files(aws.provider_files(profile, services))
        .profile_name(profile)
        .build();
    provider.provide_credentials().await.map_err(|error| classify(profile, &error))
}

/// Returns the access key of an AWS profile. It ignores the other keys of the profile, such as a role.
pub(super) fn keys_from_files(profiles: &ProfileSet, name: &str) -> Option<Credentials> {
    let profile = profiles.get_profile(name)?;
    let token = profile.get("aws_session_token").filter(|token| !token.is_empty());
    let (id, secret) = (profile.get("aws_access_key_id")?, profile.get("aws_secret_access_key")?);
    Some(Credentials::new(id, secret, token.map(str::to_owned), None, "AWS profile"))
}

/// Returns the credentials of the EC2 instance.
pub(super) async fn credentials_of_instance(
    aws: &Aws,
    profile: &str,
    region: &Region,
    address: Option<&str>,
) -> Result<Credentials, SourceError> {
    let config = provider_config(aws, profile, region).await?;
    let mut client = imds::Client::builder().configure(&config);
    if let Some(address) = address {
        client = client.endpoint(address).map_err(|_| SourceError::Invalid {
            profile: profile.to_owned(),
            message: "ec2_metadata_service_endpoint is not a URL".to_owned(),
        })?;
    }
    let provider = ImdsCredentialsProvider::builder().configure(&config).imds_client(client.build()).build();
    provider.provide_credentials().await.map_err(|error| classify(profile, &error))
}

/// Returns the credentials of the container.
pub(super) async fn credentials_of_container(
    aws: &Aws,
    profile: &str,
    region: &Region,
) -> Result<Credentials, SourceError> {
    let provider = EcsCredentialsProvider::builder().configure(&provider_config(aws, profile, region).await?).build();
    provider.provide_credentials().await.map_err(|error| classify(profile, &error))
}

async fn provider_config(aws: &Aws, profile: &str, region: &Region) -> Result<ProviderConfig, SourceError> {
    let config = aws.provider_config(profile, region).await;
    config.map_err(|error| SourceError::Files(error.message))
}

fn classify(profile: &str, error: &CredentialsError) -> SourceError {
    let profile = profile.to_owned();
    match error {
        CredentialsError::ProviderTimedOut(_) => {
            SourceError::Failed { profile, message: "no response in time".to_owned() }
        }
        CredentialsError::CredentialsNotLoaded(_) => {
            SourceError::Failed { profile, message: format!("none found ({})", innermost(error)) }
        }
        CredentialsError::InvalidConfiguration(_) => SourceError::Invalid { profile, message: innermost(error) },
        _ if texts::is_aws_login_expired(error) => {
            let login = Login::Aws { profile: profile.clone() };
            SourceError::LoginNeeded { profile, login }
        }
        _ => SourceError::Failed { profile, message: innermost(error) },
    }
}
