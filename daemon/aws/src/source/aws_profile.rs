//! Reads an AWS profile as the AWS CLI does: the role that it names with its source, or else the place of its credentials.
//!
//! Of several kinds of credentials, the one counts that botocore tries first (`credentials.py`: `AssumeRoleProvider`, then
//! `ProfileProviderBuilder.providers`). Rolecall assumes roles itself, so that profiles share their sessions: an AWS profile
//! with a role is a [`Plan::Role`], and its base is a source of its own.

mod identity_center;
mod own_credentials;

use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_protocol::{ExternalId, InvalidName, Region, RoleArn, SessionName};

use crate::shared_config::{Profile, ProfileError, SharedConfig};
use crate::sso::SsoSession;
use own_credentials::{credentials_of_machine, no_credentials, own_credentials};
use rolecall_core::config::DEFAULT_MFA_SESSION;
use rolecall_core::config::Mfa;
use rolecall_core::config::SESSION_RANGE;
use rolecall_core::config::SourceKind;

/// The duration of a role's session if the profile has no `duration_seconds`.
const DEFAULT_DURATION: Duration = Duration::from_hours(1);
/// The longest chain of `source_profile` roles. A longer one is a mistake (fault matrix row 92).
const MAX_ROLE_STEPS: usize = 5;

/// How to get the credentials of an AWS profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Assume this role.
    Role(Box<RolePlan>),
    /// Ask IAM Identity Center for a role of an account.
    Sso(Box<SsoPlan>),
    /// Run this program with these arguments.
    Process(Vec<String>),
    /// Use this access key of the files.
    Keys(Credentials),
    /// Use a web identity token in a file.
    WebIdentity(Box<WebIdentityPlan>),
    /// Use the login of `aws login` with this ARN.
    AwsLogin(String),
    /// Ask the metadata service of the EC2 instance, at this URL if it is set.
    Instance(Option<String>),
    /// Ask the metadata service of the container.
    Container,
}

/// A role that an AWS profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePlan {
    /// The source that assumes the role.
    pub base: SourceKind,
    /// The MFA device that the role requires.
    pub mfa: Option<Mfa>,
    /// `role_arn`
    pub role: RoleArn,
    /// `role_session_name`
    pub session_name: Option<SessionName>,
    /// `external_id`
    pub external_id: Option<ExternalId>,
    /// `duration_seconds`
    pub duration: Duration,
    /// `region`
    pub region: Option<Region>,
}

/// A role of an account in IAM Identity Center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsoPlan {
    /// The login.
    pub session: SsoSession,
    /// `sso_account_id`
    pub account: String,
    /// `sso_role_name`
    pub role: String,
}

/// A role that is assumed with the token in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentityPlan {
    /// `role_arn`
    pub role: RoleArn,
    /// `web_identity_token_file`
    pub token_file: String,
    /// `role_session_name`
    pub session_name: Option<SessionName>,
}

/// Reads an AWS profile. Checks its `source_profile` chain, too: a circle or an invalid profile in it is an error.
pub fn plan(config: &SharedConfig, kind: &SourceKind) -> Result<Plan, ProfileError> {
    let first = plan_step(config, kind)?;
    let mut visited = vec![profile_name(kind)?.to_owned()];
    let mut next = base_of(&first);
    while let Some(base) = next {
        let name = profile_name(&base)?.to_owned();
        // A profile may name itself as its source, for its own credentials.
        let is_own = matches!(&base, SourceKind::AwsProfileLeaf(name) if visited.last() == Some(name));
        if !is_own && visited.contains(&name) {
            visited.push(name);
            let first = visited.first().map(String::as_str).unwrap_or_default();
            return Err(ProfileError::new(first, format!("source_profile forms a circle: {}", visited.join(", "))));
        }
        if visited.len() >= MAX_ROLE_STEPS && matches!(base, SourceKind::AwsProfile(_)) {
            let message = format!("is in a source_profile chain of more than {MAX_ROLE_STEPS} roles");
            return Err(ProfileError::new(&name, message));
        }
        visited.push(name);
        next = base_of(&plan_step(config, &base)?);
    }
    Ok(first)
}

fn base_of(plan: &Plan) -> Option<SourceKind> {
    match plan {
        Plan::Role(role) => Some(role.base.clone()),
        _ => None,
    }
}

fn profile_name(kind: &SourceKind) -> Result<&str, ProfileError> {
    match kind {
        SourceKind::AwsProfile(name) | SourceKind::AwsProfileLeaf(name) => Ok(name),
        SourceKind::Keyring(name) => Err(ProfileError::new(name.as_str(), "is not an AWS profile")),
    }
}

/// Reads one profile, without its chain.
fn plan_step(config: &SharedConfig, kind: &SourceKind) -> Result<Plan, ProfileError> {
    let name = profile_name(kind)?;
    let Some(profile) = config.profile(name) else {
        let error = ProfileError::new(name, "not found, but another AWS profile names it as source_profile");
        return Err(match config.misnamed_section(name) {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    };
    region(profile)?;
    match kind {
        SourceKind::AwsProfile(_) => match role(config, profile)? {
            Some(role) => Ok(Plan::Role(Box::new(role))),
            None => own_credentials(config, profile),
        },
        // The base of a role with `credential_source`.
        _ if profile.has("role_arn") && profile.has("credential_source") && !has_static_key(profile) => {
            credentials_of_machine(profile)?.ok_or_else(|| no_credentials(profile))
        }
        _ => own_credentials(config, profile),
    }
}

/// The role that a profile names. `None` for the role of a web identity, which has no base credentials.
fn role(config: &SharedConfig, profile: &Profile) -> Result<Option<RolePlan>, ProfileError> {
    let Some(role) = profile.text("role_arn")?.filter(|_| !profile.has("web_identity_token_file")) else {
        return Ok(None);
    };
    let leaf = |name: &str| SourceKind::AwsProfileLeaf(name.to_owned());
    let base = match (profile.text("source_profile")?, profile.text("credential_source")?) {
        (Some(_), Some(_)) => {
            return Err(ProfileError::new(profile.name(), "has both source_profile and credential_source"));
        }
        (None, None) => return Err(ProfileError::new(profile.name(), "has a role_arn but no source_profile")),
        (Some(name), None) if name == profile.name() && !has_static_key(profile) => {
            let message = format!("source_profile forms a circle: {name}, {name}");
            return Err(ProfileError::new(name, message));
        }
        // A source_profile with both an access key and a role means its own credentials, as in the AWS CLI.
        (Some(name), None) if config.profile(name).is_some_and(has_static_key) => leaf(name),
        (Some(name), None) => SourceKind::AwsProfile(name.to_owned()),
        // One name could not tell whether it stands for the access key or for the machine's credentials.
        (None, Some(_)) if has_static_key(profile) => {
            return Err(ProfileError::new(profile.name(), "has both credential_source and an access key"));
        }
        (None, Some(_)) => leaf(profile.name()),
    };
    Ok(Some(RolePlan {
        base,
        mfa: mfa(profile)?,
        role: parsed(profile, "role_arn", role)?,
        session_name: optional(profile, "role_session_name")?,
        external_id: optional(profile, "external_id")?,
        duration: duration(profile)?,
        region: region(profile)?,
    }))
}

fn mfa(profile: &Profile) -> Result<Option<Mfa>, ProfileError> {
    let Some(serial) = optional(profile, "mfa_serial")? else { return Ok(None) };
    let process = profile.text("mfa_process")?.map(str::to_owned);
    Ok(Some(Mfa { serial, session: DEFAULT_MFA_SESSION, process }))
}

fn duration(profile: &Profile) -> Result<Duration, ProfileError> {
    let Some(text) = profile.text("duration_seconds")? else { return Ok(DEFAULT_DURATION) };
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds
        .filter(|length| SESSION_RANGE.contains(length))
        .ok_or_else(|| ProfileError::new(profile.name(), "duration_seconds must be a number from 900 to 43200"))
}

/// The region of a profile.
pub(super) fn region(profile: &Profile) -> Result<Option<Region>, ProfileError> {
    match profile.text("region")? {
        Some(text) if !text.is_empty() => parsed(profile, "region", text).map(Some),
        _ => Ok(None),
    }
}

/// Adds the key that was probably meant to be `wanted` to an error.
fn with_misspelt(error: ProfileError, profile: &Profile, wanted: &str) -> ProfileError {
    if let Some((key, place)) = profile.misspelt(wanted) {
        return error.with_hint(format!("The key {key} in {place} is unknown; rename it to {wanted}."));
    }
    let (header, place) = profile.header();
    error.with_hint(format!("Add {wanted} to the section {header} in {place}."))
}

/// Whether a profile has a part of an access key. A role with such a source_profile uses the profile's own credentials.
fn has_static_key(profile: &Profile) -> bool {
    profile.has("aws_access_key_id") || profile.has("aws_secret_access_key")
}

fn optional<T: std::str::FromStr<Err = InvalidName>>(profile: &Profile, key: &str) -> Result<Option<T>, ProfileError> {
    profile.text(key)?.map(|text| parsed(profile, key, text)).transpose()
}

fn parsed<T: std::str::FromStr<Err = InvalidName>>(
    profile: &Profile,
    key: &str,
    text: &str,
) -> Result<T, ProfileError> {
    parsed_in(None, profile, key, text)
}

/// Like [`parsed`], for a setting of `section` if there is one.
fn parsed_in<T: std::str::FromStr<Err = InvalidName>>(
    section: Option<&Profile>,
    profile: &Profile,
    key: &str,
    text: &str,
) -> Result<T, ProfileError> {
    text.parse().map_err(|error| {
        let place = section.unwrap_or(profile).place(key).map(|place| place.to_string()).unwrap_or_default();
        ProfileError::new(profile.name(), format!("{key} in {place}: {error}"))
    })
}

#[cfg(test)]
mod tests;
