//! The check of a token at STS, as the API server makes it: aws-iam-authenticator sends the presigned request itself, and maps
//! the ARN in the response (`pkg/token/token.go`).

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rolecall_core::config::network::Service;
use rolecall_core::role_chain::StsEndpoint;
use rolecall_protocol::{ClusterName, Secret, sanitize_for_terminal};
use serde_json::Value;

use super::TOKEN_PREFIX;
use crate::client::{ATTEMPT_TIMEOUT, Aws, behavior_version};
use crate::error::{AwsError, AwsErrorKind};

/// The header that a token is signed for; its value is the name of the cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

/// A token as a request.
struct PresignedRequest {
    /// The host that the signature covers.
    host: String,
    /// Path and query. The query is a secret.
    path: Secret<String>,
}

/// Returns the ARN of the principal that STS finds for a token of `cluster`. Errors as the API server does: with
/// `CredentialsRejected` or `Clock` if STS rejects the token.
///
/// The request goes to the host in the token, or to the URL that is configured for STS, with the host of the token in its
/// header: the signature covers that.
pub async fn verify(
    aws: &Aws,
    endpoint: &StsEndpoint,
    token: &Secret<String>,
    cluster: &ClusterName,
) -> Result<String, AwsError> {
    let request = PresignedRequest::of(token)
        .ok_or_else(|| AwsError::new(AwsErrorKind::Rejected, "the token is not a presigned URL of STS"))?;
    let config = aws.client_config(&endpoint.source, &endpoint.region, None).await?;
    let configured =
        endpoint.sts.url.as_ref().map(ToString::to_string).or_else(|| Aws::endpoint_url_of(&config, Service::Sts));
    let url = configured.unwrap_or_else(|| format!("https://{}", request.host));
    let mut layer = Layer::new("TokenCheck");
    layer.store_put(SensitiveOutput);
    let timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    let mut operation = Operation::builder()
        .service_name("sts")
        .operation_name("GetCallerIdentity")
        .behavior_version(behavior_version())
        .no_auth()
        .no_retry()
        .timeout_config(timeouts)
        .sleep_impl(TokioSleep::new())
        .endpoint_url(&url)
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()));
    if let Some(http) = config.http_client() {
        operation = operation.http_client(http);
    }
    let cluster = cluster.as_str().to_owned();
    let operation = operation
        .serializer(move |(): ()| request.to_http(&cluster))
        .deserializer(|response: &HttpResponse| read(response).map_err(OrchestratorError::operation))
        .build();
    // In a box because the future has many kilobytes.
    let arn = aws.call(endpoint, ATTEMPT_TIMEOUT, Box::pin(operation.invoke(()))).await?;
    Ok(sanitize_for_terminal(&arn))
}

impl PresignedRequest {
    fn of(token: &Secret<String>) -> Option<Self> {
        let encoded = token.expose().strip_prefix(TOKEN_PREFIX)?;
        let url = Secret::new(String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?);
        let (host, query) = url.expose().strip_prefix("https://")?.split_once("/?")?;
        let is_host =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        is_host.then(|| Self { host: host.to_owned(), path: Secret::new(format!("/?{query}")) })
    }

    fn to_http(&self, cluster: &str) -> Result<HttpRequest, BoxError> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method("GET")?;
        request.set_uri(self.path.expose().as_str())?;
        let headers = request.headers_mut();
        headers.insert("host", self.host.clone());
        headers.insert(CLUSTER_HEADER, cluster.to_owned());
        headers.insert("accept", "application/json");
        headers.insert("user-agent", concat!("rolecall/", env!("CARGO_PKG_VERSION")));
        Ok(request)
    }
}

/// Reads the ARN. An error without a code is not from STS.
fn read(response: &HttpResponse) -> Result<String, ErrorMetadata> {
    let body: Value = serde_json::from_slice(response.body().bytes().unwrap_or_default()).unwrap_or_default();
    if response.status().is_success() {
        let arn = body.pointer("/GetCallerIdentityResponse/GetCallerIdentityResult/Arn").and_then(Value::as_str);
        let arn = arn.filter(|arn| arn.starts_with("arn:")).map(str::to_owned);
        return arn.ok_or_else(|| ErrorMetadata::builder().build());
    }
    let mut error = ErrorMetadata::builder();
    if let Some(code) = body.pointer("/Error/Code").and_then(Value::as_str) {
        error = error.code(code);
    }
    if let Some(message) = body.pointer("/Error/Message").and_then(Value::as_str) {
        error = error.message(message);
    }
    Err(error.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(url: &str) -> Secret<String> {
        Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(url)))
    }

    #[test]
    fn presigned_request_of_a_token_keeps_host_and_query() {
        let request =
            PresignedRequest::of(&token_of("https://sts.eu-west-1.amazonaws.com/?Action=A&b=%2F%3D")).unwrap();
        let http = request.to_http("prod").unwrap();
        assert_eq!(
            (http.uri(), http.headers().get("host")),
            ("/?Action=A&b=%2F%3D", Some("sts.eu-west-1.amazonaws.com"))
        );
        assert_eq!(http.headers().get(CLUSTER_HEADER), Some("prod"));
        for url in ["http://sts.x/?a", "https://sts.x", "https:///?a", "https://u@sts.x/?a", "https://sts.x:1/?a", "x"]
        {
            assert!(PresignedRequest::of(&token_of(url)).is_none(), "{url}");
        }
        for text in ["", "k8s-aws-v1.", "k8s-aws-v1.%", "k8s-aws-v2.aHR0cHM"] {
            assert!(PresignedRequest::of(&Secret::new(text.to_owned())).is_none(), "{text}");
        }
    }
}
