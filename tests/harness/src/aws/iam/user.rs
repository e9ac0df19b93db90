//! The user that an IAM call is about: always the caller.

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::request::Service;

/// Returns ARN and name of the calling user, if its policies allow the action. Calls about other users fail.
pub(super) fn calling_user<'a>(call: &'a SignedCall<'_>, action: &str) -> Result<(&'a str, String), ApiError> {
    let caller = &call.caller;
    if caller.role_arn.is_some() {
        let message = "Must specify userName when calling with non-User credentials";
        return Err(ApiError::new(400, "ValidationError", message));
    }
    let name = caller.arn.rsplit('/').next().unwrap_or_default().to_owned();
    if !call.shared.state().identities.may(caller, action) {
        return Err(ApiError::denied(Service::Iam, &caller.arn, action, &format!("user {name}")));
    }
    match call.request.param("UserName") {
        Some(other) if other != name => {
            let message = format!("The user with name {other} cannot be found.");
            Err(ApiError::new(404, "NoSuchEntity", message))
        }
        _ => Ok((&caller.arn, name)),
    }
}
