//! Creates, replaces and deletes objects, with the API server's optimistic locking.

use serde_json::{Value, json};

use super::response::{ApiResponse, already_exists, bad_request, conflict, invalid, not_found};
use super::router::{ApiRequest, Place};
use crate::kube::shared::SharedCluster;

pub(crate) fn create(shared: &SharedCluster, request: &ApiRequest<'_>, place: &Place) -> ApiResponse {
    let Some(object) = object_of(request, place) else { return bad_request("the object does not fit the path") };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return bad_request("resourceVersion should not be set on objects to be created");
    }
    let now = shared.clock.now();
    let mut state = shared.state();
    let namespace = place.namespace.as_deref();
    if !state.objects.find(place.kind, namespace, Some(&name)).is_empty() {
        return already_exists(place.kind, &name);
    }
    let created = state.objects.put_json(place.kind, namespace.unwrap_or_default(), &name, object, now);
    ApiResponse::json(201, created)
}

pub(crate) fn replace(shared: &SharedCluster, request: &ApiRequest<'_>, place: &Place) -> ApiResponse {
    let name = place.name.as_deref().unwrap_or_default();
    let Some(object) = object_of(request, place).filter(|object| object["metadata"]["name"] == name) else {
        return bad_request("the object does not fit the path");
    };
    let now = shared.clock.now();
    let mut state = shared.state();
    if let Some(edit) = state.edit_before_replace.take() {
        let mut edited = edit;
        edited["metadata"] = json!({ "name": name, "namespace": place.namespace });
        state.objects.put_json(place.kind, place.namespace.as_deref().unwrap_or_default(), name, edited, now);
    }
    let Some(known) = state.objects.find(place.kind, place.namespace.as_deref(), Some(name)).pop() else {
        return not_found(place.kind, name);
    };
    let version = &object["metadata"]["resourceVersion"];
    if version.as_str().is_some_and(|version| !version.is_empty())
        && *version != known.json["metadata"]["resourceVersion"]
    {
        return conflict(place.kind, name);
    }
    if known.json["immutable"] == true && known.json["data"] != object["data"] {
        return invalid(place.kind, name, "data: Forbidden: field is immutable when `immutable` is set");
    }
    let namespace = place.namespace.as_deref().unwrap_or_default();
    let replaced = state.objects.put_json(place.kind, namespace, name, object, now).clone();
    if let Some(count) = state.reject_after_replace.take() {
        state.rejecting = count;
    }
    ApiResponse::json(200, &replaced)
}

pub(crate) fn delete(shared: &SharedCluster, place: &Place) -> ApiResponse {
    let name = place.name.as_deref().unwrap_or_default();
    let mut state = shared.state();
    if !state.objects.remove(place.kind, place.namespace.as_deref().unwrap_or_default(), name) {
        return not_found(place.kind, name);
    }
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    ApiResponse::json(200, &status)
}

/// Returns the object in the body, if its kind, its namespace and the values of its data fit.
fn object_of(request: &ApiRequest<'_>, place: &Place) -> Option<Value> {
    let object: Value = serde_json::from_slice(request.body).ok()?;
    let metadata = &object["metadata"];
    let is_text = |value: &Value| value.as_object().is_some_and(|data| data.values().all(Value::is_string));
    let fits = object["kind"] == place.kind.name()
        && object["apiVersion"] == place.kind.api_version()
        && metadata["name"].as_str().is_some_and(|name| !name.is_empty())
        && (metadata["namespace"].is_null() || metadata["namespace"].as_str() == place.namespace.as_deref())
        && (object["data"].is_null() || is_text(&object["data"]));
    fits.then_some(object)
}
