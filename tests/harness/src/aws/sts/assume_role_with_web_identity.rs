//! AssumeRoleWithWebIdentity: unsigned; the token identifies the caller.

use std::time::Duration;

use super::super::context::UnsignedCall;
use super::super::error::ApiError;
use super::super::identity::NewSession;
use super::super::principal::SessionTags;
use super::super::reply::Reply;
use super::super::web_identity::{AUDIENCE, PROVIDER, WebIdentity};
use super::assume_role::{assumed_user, packed_size, within_maximum};
use super::credentials;
use super::parameters::Wanted;
use super::validate::Validator;
use super::xml::{element, envelope};
use crate::random::request_id;
use crate::time::unix_seconds;

pub(crate) fn respond(call: &UnsignedCall<'_>) -> Result<Reply, ApiError> {
    let mut check = Validator::new(call.request);
    let wanted = Wanted::read(call.request, &mut check);
    let token = check.required("WebIdentityToken");
    if call.request.param("WebIdentityToken").is_some_and(|token| token.len() < 4 || token.len() > 20_000) {
        // The real message shows the token, which must not reach a log here.
        check.length("webIdentityToken", &"x".repeat(token.len().min(20_001)), 4, 20_000);
    }
    check.finish()?;
    wanted.check()?;
    let identity = verify_token(call, token)?;
    let denied = || ApiError::new(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    let mut state = call.shared.state();
    let role = state.identities.role(wanted.role_arn).cloned().ok_or_else(denied)?;
    if !role.allows_web_identity(&identity.subject, wanted.session_name) {
        return Err(denied());
    }
    within_maximum(&wanted, &role)?;
    let packed = wanted.packed(&SessionTags::default())?;
    let expires = call.shared.clock.now() + call.overrides.expires_in.unwrap_or(Duration::from_secs(wanted.seconds));
    let new = NewSession { role: &role, name: wanted.session_name, expires, source_identity: None, packed };
    let key = state.identities.add_session(&new);
    drop(state);
    let id = request_id();
    let result = [
        element("SubjectFromWebIdentityToken", &identity.subject),
        assumed_user(&new, call.overrides.assumed_arn.as_ref().unwrap_or(&key.arn)),
        credentials::write(&key, expires, &call.overrides),
        element("Provider", PROVIDER),
        element("Audience", AUDIENCE),
        packed_size(packed),
    ];
    Ok(Reply::xml(200, &id, envelope("AssumeRoleWithWebIdentity", &id, &result.concat())))
}

fn verify_token(call: &UnsignedCall<'_>, token: &str) -> Result<WebIdentity, ApiError> {
    let invalid = |message: &str| ApiError::new(400, "InvalidIdentityToken", message);
    if token.split('.').count() != 3 {
        return Err(invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        ));
    }
    let identity = call.shared.state().identities.web.find(token).cloned().ok_or_else(|| {
        invalid(
            "Couldn't retrieve verification key from your identity provider,  please reference \
             AssumeRoleWithWebIdentity documentation for requirements",
        )
    })?;
    let now = call.shared.clock.now();
    if identity.expires <= now {
        let (now, end) = (unix_seconds(now), unix_seconds(identity.expires));
        let message = format!("Token expired: current date/time {now} must be before the expiration date/time {end}");
        return Err(ApiError::new(400, "ExpiredTokenException", message));
    }
    Ok(identity)
}
