//! GetSessionToken: temporary credentials of the caller itself, which record an MFA code.

use std::time::Duration;

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::super::request::Service;
use super::credentials;
use super::mfa::Code;
use super::validate::Validator;
use super::xml::envelope;
use crate::random::request_id;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let mut check = Validator::new(call.request);
    let seconds = check.number("DurationSeconds", 43_200, 900, 129_600);
    let code = Code::read(&mut check);
    check.finish()?;
    if call.caller.temporary {
        return Err(ApiError::new(403, "AccessDenied", "Cannot call GetSessionToken with session credentials"));
    }
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    let given = code.redeem(call, &mut state)?;
    // The call needs no permission, but a policy can deny it.
    if !state.identities.may(&call.caller, "sts:GetSessionToken") {
        return Err(ApiError::denied(Service::Sts, &call.caller.arn, "sts:GetSessionToken", "*"));
    }
    let expires = now + call.overrides.expires_in.unwrap_or(Duration::from_secs(seconds));
    let key = state.identities.add_user_session(&call.caller, expires, given.then_some(now));
    drop(state);
    let id = request_id();
    Ok(Reply::xml(200, &id, envelope("GetSessionToken", &id, &credentials::write(&key, expires, &call.overrides))))
}
