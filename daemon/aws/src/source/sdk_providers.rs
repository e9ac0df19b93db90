//! Base credentials from the SDK's providers: web identity, instances and containers.

use std::fmt::Write as _;
use std::path::Path;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use rolecall_protocol::Region;
use rolecall_trusted_file::TrustError;

use super::SourceError;
use super::aws_profile::WebIdentityPlan;
use crate::client::Aws;
use crate::error::innermost;

/// Returns the credentials of a web identity.
pub(super) async fn credentials_of_web_identity(
    aws: &Aws,
    profile: &str,
    region: &Region,
    plan: &WebIdentityPlan,
) -> Result<Credentials, SourceError> {
    if !Path::new(&plan.token_file).is_absolute() {
        let message = "web_identity_token_file is not an absolute path".to_owned();
        return Err(SourceError::Invalid { profile: profile.to_owned(), message, hint: None });
    }
    check_file(profile, "web_identity_token_file", Path::new(&plan.token_file)).await?;
    let mut settings = vec![("role_arn", plan.role.as_str()), ("web_identity_token_file", plan.token_file.as_str())];
    settings.extend(plan.session_name.as_ref().map(|name| ("role_session_name", name.as_str())));
    credentials_of_settings(aws, profile, region, "sts", &settings).await
}

/// Errors if another user can change a file that the SDK reads for a setting. The SDK reports a missing file.
async fn check_file(profile: &str, setting: &str, path: &Path) -> Result<(), SourceError> {
    let path = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || rolecall_trusted_file::check(&path)).await;
    match checked {
        Ok(Err(error @ (TrustError::WritableByOthers { .. } | TrustError::ForeignOwner { .. }))) => {
            Err(SourceError::Invalid {
                profile: profile.to_owned(),
                message: format!("{setting}: {error}"),
                hint: Some(error.advice()),
            })
        }
        _ => Ok(()),
    }
}

/// Returns the credentials for settings of an AWS profile that are given to the SDK, with the URL of the service that it
/// calls. The SDK does not read the user's files, because it parses them differently from the AWS CLI.
async fn credentials_of_settings(
    aws: &Aws,
    profile: &str,
    region: &Region,
    service: &str,
    settings: &[(&str, &str)],
) -> Result<Credentials, SourceError> {
    let network = aws.profile_network(profile).await?;
    let url = aws.url_of(&network, service);
    let flags = [("use_fips_endpoint", network.fips), ("use_dualstack_endpoint", network.dual_stack)];
    // The SDK rejects a configured URL together with one of the flags.
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set && url.is_none()).map(|(key, _)| (key, "true"));
    let url = url.as_deref().map(|url| ("endpoint_url", url));
    let mut text = "[default]\n".to_owned();
    for (key, value) in settings.iter().copied().chain(url).chain(flags) {
        // The SDK ends a value at a comment, which the AWS CLI does not know.
        if value.chars().any(char::is_whitespace) {
            let message = format!("{key} has a space in its value");
            return Err(SourceError::Invalid { profile: profile.to_owned(), message, hint: None });
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{key} = {value}");
    }
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&provider_config(aws, profile, region).await?)
        .profile_files(EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build())
        .profile_name("default")
        .build();
    provider.provide_credentials().await.map_err(|error| classify(profile, &error))
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
            hint: None,
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
    let config = aws.provider_config(&*aws.profile_network(profile).await?, region);
    config.map_err(|error| SourceError::Invalid { profile: profile.to_owned(), message: error.message, hint: None })
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
        CredentialsError::InvalidConfiguration(_) => {
            SourceError::Invalid { profile, message: innermost(error), hint: None }
        }
        _ => SourceError::Failed { profile, message: innermost(error) },
    }
}
