//! The place of an AWS profile's own credentials, without its role.

use std::path::Path;

use rolecall_protocol::aws_config::words;

use super::identity_center::sso;
use super::{Plan, WebIdentityPlan, optional, parsed, with_misspelt};
use crate::shared_config::{FileKind, Profile, ProfileError, SharedConfig};
use crate::source::access_key;

/// The place of a profile's own credentials, without its role.
pub(super) fn own_credentials(config: &SharedConfig, profile: &Profile) -> Result<Plan, ProfileError> {
    if let Some(file) = profile.text("web_identity_token_file")?.filter(|file| !file.is_empty()) {
        return web_identity(profile, file);
    }
    if let Some(sso) = sso(config, profile)? {
        return Ok(Plan::Sso(Box::new(sso)));
    }
    if let Some(keys) = access_key::read(profile, FileKind::Credentials)? {
        return Ok(Plan::Keys(keys));
    }
    if let Some(session) = profile.text("login_session")? {
        return Ok(Plan::AwsLogin(session.to_owned()));
    }
    if profile.has("credential_process") {
        return process(profile);
    }
    if let Some(keys) = access_key::read(profile, FileKind::Config)? {
        return Ok(Plan::Keys(keys));
    }
    match credentials_of_machine(profile)? {
        Some(plan) => Ok(plan),
        None => Err(no_credentials(profile)),
    }
}

/// The machine's credentials that a profile names in `credential_source`.
pub(super) fn credentials_of_machine(profile: &Profile) -> Result<Option<Plan>, ProfileError> {
    let place = || profile.place("credential_source").map(|place| place.to_string()).unwrap_or_default();
    match profile.text("credential_source")? {
        Some("Ec2InstanceMetadata") => {
            Ok(Some(Plan::Instance(profile.text("ec2_metadata_service_endpoint")?.map(str::to_owned))))
        }
        Some("EcsContainer") => Ok(Some(Plan::Container)),
        Some("Environment") => {
            let message =
                format!("credential_source in {} is Environment, and environment variables are not read", place());
            Err(ProfileError::new(profile.name(), message)
                .with_hint("Put the access key into the credentials file, or store it with: rolecall keys put NAME"))
        }
        Some(_) => {
            let message = format!("credential_source in {} must be Ec2InstanceMetadata or EcsContainer", place());
            Err(ProfileError::new(profile.name(), message))
        }
        None => Ok(None),
    }
}

pub(super) fn no_credentials(profile: &Profile) -> ProfileError {
    let (header, place) = profile.header();
    let missing = |message: String| ProfileError::new(profile.name(), message);
    for (has, lacks) in [
        ("aws_secret_access_key", "aws_access_key_id"),
        ("source_profile", "role_arn"),
        ("credential_source", "role_arn"),
    ] {
        if let Some(place) = profile.place(has) {
            return with_misspelt(missing(format!("has {has} in {place} but no {lacks}")), profile, lacks);
        }
    }
    if let Some(place) = profile.place("sso_session").or_else(|| profile.place("sso_start_url")) {
        let error = missing(format!("has an SSO login in {place} but no sso_account_id and no sso_role_name"));
        return with_misspelt(error, profile, "sso_account_id");
    }
    missing(format!(
        "has no credentials: {header} in {place} has no access key, no SSO, no credential_process and no role"
    ))
}

fn web_identity(profile: &Profile, token_file: &str) -> Result<Plan, ProfileError> {
    let Some(role) = profile.text("role_arn")?.filter(|role| !role.is_empty()) else {
        let error = ProfileError::new(profile.name(), "has a web_identity_token_file but no role_arn");
        return Err(with_misspelt(error, profile, "role_arn"));
    };
    Ok(Plan::WebIdentity(Box::new(WebIdentityPlan {
        role: parsed(profile, "role_arn", role)?,
        token_file: token_file.to_owned(),
        session_name: optional(profile, "role_session_name")?,
    })))
}

fn process(profile: &Profile) -> Result<Plan, ProfileError> {
    let words = profile.lines("credential_process").and_then(words::split).unwrap_or_default();
    if words.first().is_none_or(String::is_empty) {
        let place = profile.place("credential_process").map(|place| place.to_string()).unwrap_or_default();
        let message = format!("credential_process in {place} is no command: it is empty, or a quote is not closed");
        return Err(ProfileError::new(profile.name(), message));
    }
    if let [program, command, ..] = words.as_slice()
        && Path::new(program).file_name().is_some_and(|name| name == "rolecall")
        && command == "credentials"
    {
        let message = "its credential_process is rolecall credentials, and a source cannot be a profile of Rolecall";
        let hint = "Use the source of that profile, or a profile with the role in via";
        return Err(ProfileError::new(profile.name(), message).with_hint(hint));
    }
    Ok(Plan::Process(words))
}
