//! Responses of the Kubernetes API, and its error statuses.

use serde_json::{Value, json};

use super::objects::Kind;
use crate::kube::authenticator::User;
use crate::kube::rbac::Attributes;

/// A response: status, content type and body.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) code: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl ApiResponse {
    pub(crate) fn json(code: u16, value: &Value) -> Self {
        Self { code, content_type: "application/json", body: value.to_string() }
    }

    pub(crate) fn text(body: &str) -> Self {
        Self { code: 200, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }
}

/// Returns the 401 for every invalid token, whatever the reason.
pub(crate) fn unauthorized() -> ApiResponse {
    status(401, "Unauthorized", "Unauthorized", &json!({}))
}

pub(crate) fn forbidden(user: &User, request: &Attributes) -> ApiResponse {
    let Attributes { verb, group, resource, namespace, name, .. } = request;
    let object = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
    let full = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    let place = match namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let message = format!(
        "{full}{object} is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}",
        user.username
    );
    let details = json!({ "kind": resource, "name": Some(name).filter(|name| !name.is_empty()) });
    status(403, "Forbidden", &message, &details)
}

pub(crate) fn conflict(kind: Kind, name: &str) -> ApiResponse {
    let plural = kind.plural();
    let message = format!(
        "Operation cannot be fulfilled on {plural} \"{name}\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    status(409, "Conflict", &message, &json!({ "kind": plural, "name": name }))
}

pub(crate) fn already_exists(kind: Kind, name: &str) -> ApiResponse {
    let plural = kind.plural();
    let message = format!("{plural} \"{name}\" already exists");
    status(409, "AlreadyExists", &message, &json!({ "kind": plural, "name": name }))
}

pub(crate) fn invalid(kind: Kind, name: &str, cause: &str) -> ApiResponse {
    let message = format!("{} \"{name}\" is invalid: {cause}", kind.name());
    status(422, "Invalid", &message, &json!({ "kind": kind.name(), "name": name }))
}

pub(crate) fn bad_request(message: &str) -> ApiResponse {
    status(400, "BadRequest", message, &json!({}))
}

pub(crate) fn not_found(kind: Kind, name: &str) -> ApiResponse {
    let plural = kind.plural();
    status(404, "NotFound", &format!("{plural} \"{name}\" not found"), &json!({ "kind": plural, "name": name }))
}

pub(crate) fn no_such_path() -> ApiResponse {
    status(404, "NotFound", "the server could not find the requested resource", &json!({}))
}

fn status(code: u16, reason: &str, message: &str, details: &Value) -> ApiResponse {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    });
    if details.as_object().is_some_and(|details| !details.is_empty()) {
        status["details"] = details.clone();
    }
    ApiResponse::json(code, &status)
}
