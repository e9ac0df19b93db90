//! The settings of IAM Identity Center in an AWS profile.

use super::{SsoPlan, parsed_in, with_misspelt};
use crate::shared_config::{Profile, ProfileError, SharedConfig};
use crate::sso::{DEFAULT_SCOPE, SsoSession};

/// The IAM Identity Center settings of a profile that names an account or a role: with an `[sso-session]`, or with the legacy
/// keys.
pub(super) fn sso(config: &SharedConfig, profile: &Profile) -> Result<Option<SsoPlan>, ProfileError> {
    if !profile.has("sso_account_id") && !profile.has("sso_role_name") {
        return Ok(None);
    }
    let name = profile.text("sso_session")?.map(str::to_owned);
    let session = match &name {
        Some(name) => Some(config.sso_session(name).ok_or_else(|| {
            let place = profile.place("sso_session").map(|place| place.to_string()).unwrap_or_default();
            ProfileError::new(profile.name(), format!("sso_session in {place}: there is no [sso-session {name}]"))
        })?),
        None => None,
    };
    if let Some(session) = &session {
        check_consistent(profile, session)?;
    }
    let value_of = |key: &str| {
        let shared = session.as_ref().filter(|session| session.has(key));
        match shared.unwrap_or(profile).text(key)? {
            Some(value) => Ok(value.to_owned()),
            None => Err(missing_sso_key(profile, session.as_ref(), key)),
        }
    };
    let region = value_of("sso_region")?;
    Ok(Some(SsoPlan {
        account: value_of("sso_account_id")?,
        role: value_of("sso_role_name")?,
        session: SsoSession {
            profile: profile.name().to_owned(),
            start_url: value_of("sso_start_url")?,
            region: parsed_in(
                session.as_ref().filter(|session| session.has("sso_region")),
                profile,
                "sso_region",
                &region,
            )?,
            scopes: match &session {
                Some(session) => scopes(session)?,
                None => Vec::new(),
            },
            name,
        },
    }))
}

fn scopes(session: &Profile) -> Result<Vec<String>, ProfileError> {
    Ok(match session.text("sso_registration_scopes")? {
        Some(scopes) => scopes.split(',').map(|scope| scope.trim().to_owned()).collect(),
        None => vec![DEFAULT_SCOPE.to_owned()],
    })
}

/// Errors if the profile and its session disagree on a setting, as the AWS CLI does.
fn check_consistent(profile: &Profile, session: &Profile) -> Result<(), ProfileError> {
    for (key, value) in session.settings() {
        let own = profile.settings().find(|(own, _)| *own == key);
        if own.is_some_and(|(_, own)| own != value) {
            let places = [profile.place(key), session.place(key)]
                .map(|place| place.map(|place| place.to_string()).unwrap_or_default());
            let message = format!("{key} differs between the profile and its sso-session: {}", places.join(" and "));
            return Err(ProfileError::new(profile.name(), message).with_hint("Remove it from the profile."));
        }
    }
    Ok(())
}

/// The error for an SSO setting that is missing. Settings of the login belong into the `[sso-session]`, if there is one.
fn missing_sso_key(profile: &Profile, session: Option<&Profile>, key: &str) -> ProfileError {
    let is_shared = matches!(key, "sso_start_url" | "sso_region");
    let section = session.filter(|_| is_shared).unwrap_or(profile);
    let (header, place) = section.header();
    let error = ProfileError::new(profile.name(), format!("has SSO settings but no {key}: {header} in {place}"));
    with_misspelt(error, section, key)
}
