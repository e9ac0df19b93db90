//! One question to a cluster's API server: whether it knows the identity of a token.
//!
//! The request is a SelfSubjectReview, which every authenticated user may create (`system:basic-user`; Kubernetes 1.28).
//! EKS answers 401 where no access entry and no line of aws-auth maps the role, and 403 or 404 where the role is mapped
//! and the review is not allowed or not known.

use std::time::Duration;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use rolecall_core::clock::Clock;
use rolecall_core::config::network::{NetworkPath, check_certificates};
use rolecall_protocol::{ClusterAccess, Secret, sanitize_for_terminal};
use serde_json::Value;

use crate::client::behavior_version;
use crate::error::AwsError;
use crate::http;

/// How long the API server may take. A private endpoint that this machine cannot reach does not answer at all.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The path of SelfSubjectReview.
const REVIEW_PATH: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// The body of the request.
const REVIEW: &str = r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}"#;

/// Asks an API server who the token is. Only a server with a certificate of `ca_pem` gets the token.
pub async fn who_am_i(
    clock: &Clock,
    path: &NetworkPath,
    server: &str,
    ca_pem: &[u8],
    token: &Secret<String>,
) -> ClusterAccess {
    if let Err(reason) = check_certificates(ca_pem) {
        return ClusterAccess::Unreachable { reason: format!("its certificate authority {reason}") };
    }
    let mut layer = Layer::new("ApiServer");
    layer.store_put(SensitiveOutput);
    let timeouts = TimeoutConfig::builder().connect_timeout(TIMEOUT).operation_attempt_timeout(TIMEOUT).build();
    let authorization = format!("Bearer {}", token.expose());
    let operation = Operation::builder()
        .service_name("kubernetes")
        .operation_name("SelfSubjectReview")
        .behavior_version(behavior_version())
        .http_client(http::pinned_client(clock.clone(), path, ca_pem))
        .endpoint_url(server)
        .no_auth()
        .no_retry()
        .timeout_config(timeouts)
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
        .serializer(move |(): ()| to_http(&authorization))
        .deserializer(|response: &HttpResponse| Ok::<_, OrchestratorError<ErrorMetadata>>(from_http(response)))
        .build();
    // The connector's own limits do not include the time that a lookup of the name takes.
    match tokio::time::timeout(TIMEOUT, operation.invoke(())).await {
        Ok(Ok(access)) => access,
        Ok(Err(error)) => ClusterAccess::Unreachable { reason: AwsError::from_sdk(&error).message },
        Err(_) => ClusterAccess::Unreachable { reason: format!("no response within {} s", TIMEOUT.as_secs()) },
    }
}

fn to_http(authorization: &str) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(REVIEW));
    request.set_method("POST")?;
    request.set_uri(REVIEW_PATH)?;
    let headers = request.headers_mut();
    headers.insert("authorization", authorization.to_owned());
    headers.insert("content-type", "application/json");
    headers.insert("accept", "application/json");
    headers.insert("user-agent", concat!("rolecall/", env!("CARGO_PKG_VERSION")));
    Ok(request)
}

fn from_http(response: &HttpResponse) -> ClusterAccess {
    match response.status().as_u16() {
        401 => ClusterAccess::NotMapped,
        status @ (200..=299 | 403 | 404 | 405) => {
            let review: Option<Value> = response.body().bytes().and_then(|body| serde_json::from_slice(body).ok());
            let user = review.as_ref().filter(|_| status < 300).and_then(|review| review.pointer("/status/userInfo"));
            let text = |value: &Value| value.as_str().map(sanitize_for_terminal);
            ClusterAccess::Mapped {
                username: user.and_then(|user| text(user.get("username")?)),
                groups: user
                    .and_then(|user| user.get("groups")?.as_array())
                    .map(|groups| groups.iter().filter_map(text).collect())
                    .unwrap_or_default(),
            }
        }
        other => ClusterAccess::Unreachable { reason: format!("it answers with status {other}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(status: u16, body: &str) -> ClusterAccess {
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        // As the orchestrator does, which reads the body first.
        *response.body_mut() = SdkBody::from(body);
        from_http(&response)
    }

    #[test]
    fn from_http_only_401_is_not_mapped() {
        let body = r#"{"status":{"userInfo":{"username":"dev:x\u001b","groups":["edit","system:authenticated",7]}}}"#;
        let groups = vec!["edit".to_owned(), "system:authenticated".to_owned()];
        let username = Some("dev:x\\u{1b}".to_owned());
        assert_eq!(access(201, body), ClusterAccess::Mapped { username, groups });
        let unknown = ClusterAccess::Mapped { username: None, groups: Vec::new() };
        for (status, body) in [(403, body), (404, ""), (200, "<html>"), (200, "[1]")] {
            assert_eq!(access(status, body), unknown, "{status} {body}");
        }
        assert_eq!(access(401, "{}"), ClusterAccess::NotMapped);
        assert!(matches!(access(503, ""), ClusterAccess::Unreachable { .. }));
    }
}
