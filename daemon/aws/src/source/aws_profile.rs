//! Reads an AWS profile as the AWS CLI and the SDKs do: the role that it names with its source, or else the place of its
//! credentials.
//!
//! The kinds of credentials have the order of `aws-config` (`profile/credentials/repr.rs`). Rolecall assumes roles itself, so
//! that profiles share their sessions: an AWS profile with a role is a [`Plan::Role`], and its base is a source of its own.

use std::time::Duration;

use aws_config::profile::{Profile, ProfileSet};
use rolecall_protocol::{ExternalId, InvalidName, Region, RoleArn, SessionName};

use crate::sso::{DEFAULT_SCOPE, SsoSession};
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
pub(super) enum Plan {
    /// Assume this role.
    Role(Box<RolePlan>),
    /// Ask IAM Identity Center for a role of an account.
    Sso(Box<SsoPlan>),
    /// Run this command.
    Process(String),
    /// Use the keys in the files.
    Keys,
    /// Use a web identity token in a file.
    WebIdentity,
    /// Use the login of `aws login`.
    AwsLogin,
    /// Ask the metadata service of the EC2 instance, at this URL if it is set.
    Instance(Option<String>),
    /// Ask the metadata service of the container.
    Container,
}

/// A role that an AWS profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RolePlan {
    /// The source that assumes the role.
    pub(super) base: SourceKind,
    /// The MFA device that the role requires.
    pub(super) mfa: Option<Mfa>,
    pub(super) role: RoleArn,
    pub(super) session_name: Option<SessionName>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) duration: Duration,
    pub(super) region: Option<Region>,
}

/// A role of an account in IAM Identity Center.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SsoPlan {
    pub(super) session: SsoSession,
    pub(super) account: String,
    pub(super) role: String,
}

/// An invalid AWS profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct ProfileError {
    /// The AWS profile: the requested one, or one in its `source_profile` chain.
    pub(super) profile: String,
    /// The error.
    pub(super) message: String,
}

/// Reads an AWS profile. Checks its `source_profile` chain, too: a circle or an invalid profile in it is an error.
pub(super) fn plan(profiles: &ProfileSet, kind: &SourceKind) -> Result<Plan, ProfileError> {
    let mut visited: Vec<&str> = Vec::new();
    let first = plan_step(profiles, kind)?;
    let mut next = match &first {
        Plan::Role(role) => Some(role.base.clone()),
        _ => None,
    };
    while let Some(SourceKind::AwsProfile(name)) = &next {
        let found = find(profiles, name)?;
        if visited.contains(&found.name()) || is_named(kind, found.name()) {
            visited.push(found.name());
            return Err(profile_error(
                first_name(kind),
                format!("source_profile forms a circle: {}", visited.join(", ")),
            ));
        }
        if visited.len() + 1 >= MAX_ROLE_STEPS {
            return Err(profile_error(
                found.name(),
                format!("is in a source_profile chain of more than {MAX_ROLE_STEPS} roles"),
            ));
        }
        visited.push(found.name());
        next = match plan_step(profiles, &SourceKind::AwsProfile(name.clone()))? {
            Plan::Role(role) => Some(role.base),
            _ => None,
        };
    }
    if let Some(leaf) = next {
        plan_step(profiles, &leaf)?;
    }
    Ok(first)
}

fn is_named(kind: &SourceKind, name: &str) -> bool {
    matches!(kind, SourceKind::AwsProfile(other) if other == name)
}

fn first_name(kind: &SourceKind) -> &str {
    match kind {
        SourceKind::AwsProfile(name) | SourceKind::AwsProfileLeaf(name) => name,
        SourceKind::Keyring(name) => name.as_str(),
    }
}

/// Reads one profile, without its chain.
fn plan_step(profiles: &ProfileSet, kind: &SourceKind) -> Result<Plan, ProfileError> {
    match kind {
        SourceKind::AwsProfile(name) => {
            let profile = find(profiles, name)?;
            match role(profiles, profile)? {
                Some(role) => Ok(Plan::Role(Box::new(role))),
                None => own_credentials(profiles, profile),
            }
        }
        SourceKind::AwsProfileLeaf(name) => {
            let profile = find(profiles, name)?;
            if has_keys(profile) { Ok(Plan::Keys) } else { own_credentials(profiles, profile) }
        }
        SourceKind::Keyring(name) => Err(profile_error(name.as_str(), "is not an AWS profile")),
    }
}

fn find<'a>(profiles: &'a ProfileSet, name: &str) -> Result<&'a Profile, ProfileError> {
    profiles
        .get_profile(name)
        .ok_or_else(|| profile_error(name, "not found, but another AWS profile names it as source_profile"))
}

/// The role that a profile names. `None` for the role of a web identity, which has no base credentials.
fn role(profiles: &ProfileSet, profile: &Profile) -> Result<Option<RolePlan>, ProfileError> {
    let Some(arn) = profile.get("role_arn").filter(|_| profile.get("web_identity_token_file").is_none()) else {
        return Ok(None);
    };
    let base = match (profile.get("source_profile"), profile.get("credential_source")) {
        (Some(_), Some(_)) => {
            return Err(profile_error(profile.name(), "has both source_profile and credential_source"));
        }
        (None, None) => {
            return Err(profile_error(profile.name(), "has a role_arn but no source_profile"));
        }
        (Some(name), None) if name == profile.name() => SourceKind::AwsProfileLeaf(name.to_owned()),
        // A source_profile with both an access key and a role means its access key, as in the AWS CLI.
        (Some(name), None) if profiles.get_profile(name).is_some_and(has_keys) => {
            SourceKind::AwsProfileLeaf(name.to_owned())
        }
        (Some(name), None) => SourceKind::AwsProfile(name.to_owned()),
        (None, Some(_)) => SourceKind::AwsProfileLeaf(profile.name().to_owned()),
    };
    Ok(Some(RolePlan {
        base,
        mfa: mfa(profile)?,
        role: value(profile, "role_arn", arn)?,
        session_name: profile
            .get("role_session_name")
            .map(|name| value(profile, "role_session_name", name))
            .transpose()?,
        external_id: profile.get("external_id").map(|id| value(profile, "external_id", id)).transpose()?,
        duration: duration(profile)?,
        region: profile.get("region").and_then(|region| region.parse().ok()),
    }))
}

fn mfa(profile: &Profile) -> Result<Option<Mfa>, ProfileError> {
    let Some(serial) = profile.get("mfa_serial") else { return Ok(None) };
    Ok(Some(Mfa {
        serial: value(profile, "mfa_serial", serial)?,
        session: DEFAULT_MFA_SESSION,
        process: profile.get("mfa_process").map(str::to_owned),
    }))
}

fn duration(profile: &Profile) -> Result<Duration, ProfileError> {
    let Some(text) = profile.get("duration_seconds") else { return Ok(DEFAULT_DURATION) };
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    seconds
        .filter(|length| SESSION_RANGE.contains(length))
        .ok_or_else(|| profile_error(profile.name(), "duration_seconds must be a number from 900 to 43200"))
}

/// The place of a profile's own credentials, without its role.
fn own_credentials(profiles: &ProfileSet, profile: &Profile) -> Result<Plan, ProfileError> {
    if let Some(source) = profile.get("credential_source") {
        return match source {
            "Ec2InstanceMetadata" => {
                Ok(Plan::Instance(profile.get("ec2_metadata_service_endpoint").map(str::to_owned)))
            }
            "EcsContainer" => Ok(Plan::Container),
            // `Environment` is not supported: environment variables have no effect.
            _ => Err(profile_error(
                profile.name(),
                "credential_source must be Ec2InstanceMetadata or EcsContainer; environment variables are not read",
            )),
        };
    }
    if profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_some() {
        return Ok(Plan::WebIdentity);
    }
    if let Some(sso) = sso(profiles, profile)? {
        return Ok(Plan::Sso(Box::new(sso)));
    }
    if profile.get("login_session").is_some() {
        return Ok(Plan::AwsLogin);
    }
    if let Some(command) = profile.get("credential_process") {
        return Ok(Plan::Process(command.to_owned()));
    }
    if has_keys(profile) {
        return Ok(Plan::Keys);
    }
    Err(profile_error(profile.name(), "has no credentials: no access key, no SSO, no credential_process and no role"))
}

fn has_keys(profile: &Profile) -> bool {
    profile.get("aws_access_key_id").is_some() && profile.get("aws_secret_access_key").is_some()
}

/// The IAM Identity Center settings of a profile: with an `[sso-session]`, or with the legacy keys.
fn sso(profiles: &ProfileSet, profile: &Profile) -> Result<Option<SsoPlan>, ProfileError> {
    let value_of = |key: &str| profile.get(key).map(str::to_owned);
    let name = value_of("sso_session");
    if name.is_none() && value_of("sso_start_url").is_none() {
        return Ok(None);
    }
    let session =
        match &name {
            Some(name) => Some(profiles.sso_session(name).ok_or_else(|| {
                profile_error(profile.name(), format!("sso_session: there is no [sso-session {name}]"))
            })?),
            None => None,
        };
    let shared = |key: &str| {
        let found = match session {
            Some(session) => session.get(key).map(str::to_owned),
            None => value_of(key),
        };
        found.ok_or_else(|| match &name {
            Some(name) => profile_error(profile.name(), format!("[sso-session {name}] has no {key}")),
            None => profile_error(profile.name(), format!("has no {key}")),
        })
    };
    let own = |key: &str| value_of(key).ok_or_else(|| profile_error(profile.name(), format!("has no {key}")));
    let scopes = session.and_then(|session| session.get("sso_registration_scopes"));
    let region = shared("sso_region")?;
    Ok(Some(SsoPlan {
        account: own("sso_account_id")?,
        role: own("sso_role_name")?,
        session: SsoSession {
            profile: profile.name().to_owned(),
            start_url: shared("sso_start_url")?,
            region: value(profile, "sso_region", &region)?,
            scopes: match (&name, scopes) {
                (Some(_), Some(scopes)) => scopes.split(',').map(|scope| scope.trim().to_owned()).collect(),
                (Some(_), None) => vec![DEFAULT_SCOPE.to_owned()],
                (None, _) => Vec::new(),
            },
            name,
        },
    }))
}

fn value<T: std::str::FromStr<Err = InvalidName>>(profile: &Profile, key: &str, text: &str) -> Result<T, ProfileError> {
    text.parse().map_err(|error| profile_error(profile.name(), format!("{key}: {error}")))
}

fn profile_error(profile: &str, message: impl Into<String>) -> ProfileError {
    ProfileError { profile: profile.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests;
