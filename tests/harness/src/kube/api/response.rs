//! Responses of the Kubernetes API, and its error statuses.

use serde_json::{Value, json};

use super::objects::Kind;
use crate::kube::authenticator::User;

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

pub(crate) fn forbidden(user: &User, kind: Kind, namespace: Option<&str>, name: Option<&str>) -> ApiResponse {
    let (verb, plural) = (if name.is_some() { "get" } else { "list" }, kind.plural());
    let object = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let place =
        namespace.map_or("at the cluster scope".to_owned(), |namespace| format!("in the namespace \"{namespace}\""));
    let message = format!(
        "{plural}{object} is forbidden: User \"{}\" cannot {verb} resource \"{plural}\" in API group \"\" {place}",
        user.username
    );
    status(403, "Forbidden", &message, &json!({ "kind": plural, "name": name }))
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
