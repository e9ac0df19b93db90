//! Sources of kind `aws_profile`: whatever AWS's own files say, resolved by `aws-config`.
//!
//! Neither the shell's `AWS_ACCESS_KEY_ID` nor its `AWS_PROFILE` can decide anything here: the profile is named, and
//! `main` clears those variables before anything else runs.

use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_types::os_shim_internal::{Env, Fs};
use rolecall_protocol::{Region, near_misses};

use super::SourceError;
use crate::aws::{Aws, causes, innermost};
use crate::session::Session;

/// Gets the credentials of an AWS profile.
pub(super) async fn resolve(aws: &Aws, profile: &str, region: &Region) -> Result<Session, SourceError> {
    let profiles = load(aws).await?;
    let Some(found) = profiles.get_profile(profile) else {
        return Err(no_profile(aws, profile, &profiles));
    };
    if wants_mfa(&profiles, profile) {
        return Err(SourceError::MfaNeeded { profile: profile.to_owned() });
    }
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&aws.provider_config(&home_region(&profiles, profile, region)))
        .profile_files(aws.provider_files(profile, found.get("services")))
        .profile_name(profile)
        .build();
    let credentials = provider.provide_credentials().await.map_err(|error| classify(profile, &error))?;
    Ok(Session { credentials, arn: None, issued: aws.now(), is_clamped: false })
}

/// AWS's files, parsed by the SDK.
async fn load(aws: &Aws) -> Result<ProfileSet, SourceError> {
    // An empty environment: only the files that `Aws` names count.
    let environment = Env::from_slice(&[]);
    aws_config::profile::load(&Fs::real(), &environment, &aws.profile_files(), None)
        .await
        .map_err(|error| SourceError::Files(innermost(&error)))
}

/// The region that the AWS profile names for its own calls, else the cluster's.
fn home_region(profiles: &ProfileSet, profile: &str, region: &Region) -> Region {
    let own = profiles.get_profile(profile).and_then(|profile| profile.get("region"));
    own.and_then(|own| own.parse().ok()).unwrap_or_else(|| region.clone())
}

fn no_profile(aws: &Aws, profile: &str, profiles: &ProfileSet) -> SourceError {
    let files = aws.files();
    SourceError::NoProfile {
        profile: profile.to_owned(),
        files: format!("{} or {}", files.config.display(), files.credentials.display()),
        advice: advice(profile, profiles),
    }
}

/// What a person who misnamed an AWS profile may have meant.
fn advice(profile: &str, profiles: &ProfileSet) -> String {
    let mut names: Vec<&str> = profiles.profiles().collect();
    names.sort_unstable();
    match (near_misses(profile, names.iter().copied()).first(), names.as_slice()) {
        (Some(near), _) => format!("Did you mean \"{near}\"?"),
        (None, []) => "There is none at all; make one with: aws configure".to_owned(),
        (None, names) => format!("There are: {}.", names.iter().take(8).copied().collect::<Vec<_>>().join(", ")),
    }
}

/// Whether the AWS profile, or one that it builds on, has a role that wants MFA. The SDK ignores that, and AWS would
/// answer with a denial that explains nothing.
fn wants_mfa(profiles: &ProfileSet, profile: &str) -> bool {
    let mut name = profile;
    // As many steps as there are profiles: a loop is for the SDK to complain about.
    for _ in profiles.profiles() {
        let Some(found) = profiles.get_profile(name) else { return false };
        match (found.get("role_arn"), found.get("mfa_serial"), found.get("source_profile")) {
            (Some(_), Some(_), _) => return true,
            (Some(_), None, Some(next)) if next != name => name = next,
            _ => return false,
        }
    }
    false
}

fn classify(profile: &str, error: &CredentialsError) -> SourceError {
    let profile = profile.to_owned();
    match error {
        CredentialsError::ProviderTimedOut(_) => {
            SourceError::Failed { profile, message: "no answer in time".to_owned() }
        }
        CredentialsError::CredentialsNotLoaded(_) => SourceError::Invalid {
            profile,
            message: "says nothing about credentials: no keys, no SSO, no credential_process, no role".to_owned(),
        },
        CredentialsError::InvalidConfiguration(_) => SourceError::Invalid { profile, message: innermost(error) },
        _ if is_ended_login(error) => SourceError::LoginNeeded { profile },
        _ => SourceError::Failed { profile, message: without_stderr(&innermost(error)) },
    }
}

/// What a credential_process wrote to its standard error may hold anything, secrets too: the SDK quotes it, we do not.
fn without_stderr(message: &str) -> String {
    match message.split_once(" Stderr:") {
        Some((said, _)) => said.trim_end_matches('.').to_owned(),
        None => message.to_owned(),
    }
}

/// Whether IAM Identity Center no longer takes the cached login: the SDK says so in words alone.
fn is_ended_login(error: &CredentialsError) -> bool {
    causes(error).any(|cause| {
        let words = cause.to_string();
        words.contains("SSO token") || words.contains("UnauthorizedException") || words.contains("InvalidGrant")
    })
}
