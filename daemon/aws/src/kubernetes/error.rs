//! Errors of an API server, by the status of the response.

use rolecall_protocol::sanitize_for_terminal;
use serde::Deserialize;

use crate::error::ConnectionFailure;

/// A failed call to an API server. The reasons are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// 401: no access entry and no line of aws-auth maps the principal, or the token is invalid.
    #[error("the API server rejects the token (401)")]
    Unauthorized,
    /// 403: the user has no permission.
    #[error("the API server denies the request: {reason}")]
    Forbidden {
        /// The message of the server.
        reason: String,
    },
    /// 404 of an object.
    #[error("{reason}")]
    NotFound {
        /// The message of the server.
        reason: String,
    },
    /// 409: the object has changed since it was read.
    #[error("the object has changed in the meantime: {reason}")]
    Conflict {
        /// The message of the server.
        reason: String,
    },
    /// 409 of a creation: there is an object of that name.
    #[error("{reason}")]
    AlreadyExists {
        /// The message of the server.
        reason: String,
    },
    /// 400 or 422: the server rejects the object.
    #[error("the API server rejects the object: {reason}")]
    Invalid {
        /// The message of the server.
        reason: String,
    },
    /// No response, or the server has no certificate of the cluster's CA.
    #[error("the API server cannot be reached: {reason}")]
    Unreachable {
        /// What failed.
        failure: ConnectionFailure,
        /// Why.
        reason: String,
    },
    /// A response that is incomplete, too large or not one of Kubernetes.
    #[error("invalid response from the API server: {reason}")]
    InvalidResponse {
        /// Why.
        reason: String,
    },
    /// Another status.
    #[error("the API server answers with status {0}")]
    Status(u16),
}

/// The `Status` object in the body of an error. `reason` is a code.
#[derive(Deserialize)]
struct Status {
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl KubernetesError {
    /// The error of a response whose status is not 2xx.
    pub(super) fn from_response(code: u16, body: &[u8]) -> Self {
        let status: Option<Status> = serde_json::from_slice(body).ok().filter(|found: &Status| found.kind == "Status");
        let reason = || match &status {
            Some(status) if !status.message.is_empty() => sanitize_for_terminal(&status.message),
            _ => format!("status {code}"),
        };
        let named = status.as_ref().map(|status| status.reason.as_str()).unwrap_or_default();
        match (code, named) {
            (401, _) => Self::Unauthorized,
            (403, _) => Self::Forbidden { reason: reason() },
            (404, "NotFound") => Self::NotFound { reason: reason() },
            (409, "AlreadyExists") => Self::AlreadyExists { reason: reason() },
            (409, _) => Self::Conflict { reason: reason() },
            (400 | 422, _) => Self::Invalid { reason: reason() },
            (other, _) => Self::Status(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_response_status_and_reason_decide() {
        let body = |reason: &str| {
            format!(r#"{{"kind":"Status","status":"Failure","reason":"{reason}","message":"no\u001b","code":1}}"#)
        };
        let reason = || "no\\u{1b}".to_owned();
        for (code, named, expected) in [
            (401, "Unauthorized", KubernetesError::Unauthorized),
            (403, "Forbidden", KubernetesError::Forbidden { reason: reason() }),
            (404, "NotFound", KubernetesError::NotFound { reason: reason() }),
            (404, "", KubernetesError::Status(404)),
            (409, "AlreadyExists", KubernetesError::AlreadyExists { reason: reason() }),
            (409, "Conflict", KubernetesError::Conflict { reason: reason() }),
            (422, "Invalid", KubernetesError::Invalid { reason: reason() }),
            (400, "BadRequest", KubernetesError::Invalid { reason: reason() }),
            (503, "ServiceUnavailable", KubernetesError::Status(503)),
        ] {
            assert_eq!(KubernetesError::from_response(code, body(named).as_bytes()), expected, "{code} {named}");
        }
        for body in ["", "<html>", "[1]", r#"{"kind":"List"}"#] {
            let expected = KubernetesError::Forbidden { reason: "status 403".to_owned() };
            assert_eq!(KubernetesError::from_response(403, body.as_bytes()), expected, "{body}");
            assert_eq!(KubernetesError::from_response(404, body.as_bytes()), KubernetesError::Status(404), "{body}");
        }
    }
}
