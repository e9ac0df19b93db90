//! The cluster and the access entry that a call names.

use serde_json::Value;

use super::super::access::AccessEntry;
use super::super::cluster::Cluster;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::state::AwsState;

/// Returns the segment of the path at this position.
pub(super) fn segment(call: &SignedCall<'_>, position: usize) -> String {
    call.request.segments().into_iter().nth(position).unwrap_or_default()
}

/// Returns the named cluster of the caller's account and region.
pub(super) fn cluster<'a>(
    call: &SignedCall<'_>,
    state: &'a mut AwsState,
    name: &str,
) -> Result<&'a mut Cluster, ApiError> {
    let account = call.caller.account();
    let owned =
        |cluster: &&mut Cluster| cluster.name == name && cluster.region == call.region && cluster.account == account;
    state
        .clusters
        .iter_mut()
        .find(owned)
        .ok_or_else(|| ApiError::new(404, "ResourceNotFoundException", format!("No cluster found for name: {name}.")))
}

/// Returns the named cluster, if its authentication mode has access entries.
pub(super) fn cluster_with_entries(
    call: &SignedCall<'_>,
    state: &mut AwsState,
    name: &str,
) -> Result<Cluster, ApiError> {
    let found = cluster(call, state, name)?;
    if found.authentication_mode == "CONFIG_MAP" {
        let message = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform \
                       this operation.";
        return Err(ApiError::new(400, "InvalidRequestException", message));
    }
    Ok(found.clone())
}

/// Returns the access entry of a principal.
pub(super) fn entry<'a>(
    call: &SignedCall<'_>,
    state: &'a mut AwsState,
    cluster: &str,
    principal: &str,
) -> Result<&'a mut AccessEntry, ApiError> {
    state.access.entries(cluster, &call.region).get_mut(principal).ok_or_else(|| {
        let message = "The specified principalArn could not be found. You can view your available access entries with \
                       'list-access-entries'.";
        ApiError::new(404, "ResourceNotFoundException", message)
    })
}

/// Returns the body as a JSON object.
pub(super) fn body(call: &SignedCall<'_>) -> Result<Value, ApiError> {
    let body: Option<Value> = serde_json::from_slice(&call.request.body).ok();
    body.filter(Value::is_object).ok_or_else(|| ApiError::new(400, "SerializationException", "The body is not JSON."))
}

/// Returns a field of the body that is a list of texts; `None` if it is absent.
pub(super) fn texts(body: &Value, field: &str) -> Result<Option<Vec<String>>, ApiError> {
    let Some(value) = body.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
    let list = value.as_array().and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
    list.map(Some)
        .ok_or_else(|| ApiError::new(400, "SerializationException", format!("{field} is not a list of texts.")))
}

/// An `InvalidParameterException`.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "InvalidParameterException", message)
}
