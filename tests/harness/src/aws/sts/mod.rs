//! STS: the query protocol with XML responses.

mod assume_role;
mod assume_role_with_web_identity;
mod credentials;
mod get_caller_identity;
mod get_session_token;
mod mfa;
mod parameters;
mod validate;
mod xml;

use super::context::{SignedCall, UnsignedCall};
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;

/// Responds to one verified request. To add an action, add a file here and a line below.
pub(crate) fn serve(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    if call.shared.state().regions_without_sts.contains(&call.region) {
        let message = format!(
            "STS is not activated in this region for account:{}. Your account administrator can activate STS in this \
             region using the IAM Console.",
            call.caller.account()
        );
        return Err(ApiError::new(403, "RegionDisabledException", message));
    }
    match call.request.op {
        Op::AssumeRole => assume_role::respond(call),
        Op::GetCallerIdentity => Ok(get_caller_identity::respond(call)),
        Op::GetSessionToken => get_session_token::respond(call),
        _ => Err(no_such_action(call)),
    }
}

/// Responds to one unsigned request, whose token identifies the caller.
pub(crate) fn serve_unsigned(call: &UnsignedCall<'_>) -> Result<Reply, ApiError> {
    assume_role_with_web_identity::respond(call)
}

fn no_such_action(call: &SignedCall<'_>) -> ApiError {
    match (call.request.param("Action"), call.request.param("Version").unwrap_or_default()) {
        (Some(action), version) => {
            ApiError::new(400, "InvalidAction", format!("Could not find operation {action} for version {version}"))
        }
        (None, _) => ApiError::new(400, "MissingAction", "The request must contain the parameter Action"),
    }
}
