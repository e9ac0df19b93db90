//! The check of a caller's own policies.

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::request::Service;

/// Rejects a caller whose policies deny the action on that cluster (`*` for all).
pub(super) fn authorize(call: &SignedCall<'_>, action: &str, cluster: &str) -> Result<(), ApiError> {
    if call.shared.state().identities.may(&call.caller, action) {
        return Ok(());
    }
    let partition = call.caller.arn.split(':').nth(1).unwrap_or("aws");
    let resource = format!("arn:{partition}:eks:{}:{}:cluster/{cluster}", call.region, call.caller.account());
    Err(ApiError::denied(Service::Eks, &call.caller.arn, action, &resource))
}
