//! Calls to a cluster's API server: only a server with a certificate of the cluster's CA gets the token, each call has a
//! deadline, and each response a limit.

mod bindings;
mod config_map;
mod error;
mod review;

use std::time::Duration;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_core::clock::Clock;
use rolecall_core::config::network::{NetworkPath, check_certificates};
use rolecall_protocol::{ClusterAccess, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use bindings::{Binding, BindingSubject};
pub use config_map::ConfigMap;
pub use error::KubernetesError;
pub use review::{AccessAnswer, AccessQuestion, UserInfo};

use crate::client::behavior_version;
use crate::error::{AwsError, ConnectionFailure};
use crate::http;

/// How long one call may take. A private endpoint that this machine cannot reach does not answer at all.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The limit of the check of a profile in `add` and `status`, which waits for it.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(3);
/// The objects of one page of a list. 250 bindings have less than 1 MB.
const PAGE: usize = 250;
/// The pages of a list that are read.
const MAX_PAGES: usize = 40;
/// The largest list, in bytes of all its pages. 10,000 bindings have about 15 MB.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;
/// RFC 3986's unreserved characters stay as they are in a path segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Calls one API server with one token.
#[derive(Debug)]
pub struct KubernetesClient {
    http: SharedHttpClient,
    server: String,
    token: Secret<String>,
}

/// Status and body of a response.
#[derive(Debug)]
struct Response {
    status: u16,
    body: Vec<u8>,
}

impl Response {
    /// Reads the body. Errors with the error of a response whose status is not 2xx.
    fn read<T: DeserializeOwned>(&self) -> Result<T, KubernetesError> {
        if !(200..300).contains(&self.status) {
            return Err(KubernetesError::from_response(self.status, &self.body));
        }
        let invalid =
            |_| KubernetesError::InvalidResponse { reason: "the response is not the expected JSON".to_owned() };
        serde_json::from_slice(&self.body).map_err(invalid)
    }
}

/// Asks an API server who the token is.
pub async fn who_am_i(
    clock: &Clock,
    path: &NetworkPath,
    server: &str,
    ca_pem: &[u8],
    token: &Secret<String>,
) -> ClusterAccess {
    let client = KubernetesClient::new(clock, path, server, ca_pem, Secret::new(token.expose().clone()));
    let review = match client {
        Ok(client) => client.self_subject_review_within(REVIEW_TIMEOUT).await,
        Err(error) => Err(error),
    };
    review::cluster_access(review)
}

impl KubernetesClient {
    /// Returns a client for `server`. Errors with `Unreachable` if `ca_pem` has no valid certificate.
    pub fn new(
        clock: &Clock,
        path: &NetworkPath,
        server: &str,
        ca_pem: &[u8],
        token: Secret<String>,
    ) -> Result<Self, KubernetesError> {
        check_certificates(ca_pem).map_err(|reason| KubernetesError::Unreachable {
            failure: ConnectionFailure::Other,
            reason: format!("its certificate authority {reason}"),
        })?;
        let http = http::pinned_client(clock.clone(), path, ca_pem);
        Ok(Self { http, server: server.to_owned(), token })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, KubernetesError> {
        self.call("GET", path, None, TIMEOUT).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, KubernetesError> {
        self.call("POST", path, Some(body), TIMEOUT).await
    }

    /// Reads a list from all its pages. Errors if it has more than [`MAX_PAGES`] or [`MAX_LIST_BYTES`], rather than leave out
    /// objects.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, KubernetesError> {
        #[derive(serde::Deserialize)]
        struct List<T> {
            items: Option<Vec<T>>,
            #[serde(default)]
            metadata: Metadata,
        }
        #[derive(Default, serde::Deserialize)]
        struct Metadata {
            #[serde(rename = "continue")]
            next: Option<String>,
        }
        let (mut items, mut bytes, mut query) = (Vec::new(), 0, format!("?limit={PAGE}"));
        for _ in 0..MAX_PAGES {
            let response = self.send("GET", &format!("{path}{query}"), None, TIMEOUT).await?;
            bytes += response.body.len();
            if bytes > MAX_LIST_BYTES {
                return Err(KubernetesError::InvalidResponse { reason: "the list is too large".to_owned() });
            }
            let page: List<T> = response.read()?;
            items.extend(page.items.unwrap_or_default());
            let Some(next) = page.metadata.next.filter(|next| !next.is_empty()) else { return Ok(items) };
            query = format!("?limit={PAGE}&continue={}", utf8_percent_encode(&next, ENCODED));
        }
        Err(KubernetesError::InvalidResponse { reason: format!("a list of more than {} objects", PAGE * MAX_PAGES) })
    }

    /// Sends one request and reads its response. Errors with the error of a response whose status is not 2xx.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<T, KubernetesError> {
        self.send(method, path, body, limit).await?.read()
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Response, KubernetesError> {
        let mut layer = Layer::new("ApiServer");
        layer.store_put(SensitiveOutput);
        let timeouts = TimeoutConfig::builder().connect_timeout(limit).operation_attempt_timeout(limit).build();
        let authorization = format!("Bearer {}", self.token.expose());
        let (path, body) = (path.to_owned(), body.map(Value::to_string).unwrap_or_default());
        let operation = Operation::builder()
            .service_name("kubernetes")
            .operation_name(method)
            .behavior_version(behavior_version())
            .http_client(self.http.clone())
            .endpoint_url(&self.server)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
            .serializer(move |(): ()| to_http(method, &path, &body, &authorization))
            .deserializer(|response: &HttpResponse| Ok::<_, OrchestratorError<ErrorMetadata>>(from_http(response)))
            .build();
        // The connector's own limits do not include the time that a lookup of the name takes. In a box because the future has
        // many kilobytes.
        match tokio::time::timeout(limit, Box::pin(operation.invoke(()))).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(SdkError::ResponseError(_))) => {
                Err(KubernetesError::InvalidResponse { reason: "the response is incomplete or too large".to_owned() })
            }
            Ok(Err(error)) => {
                let error = AwsError::from_sdk(&error);
                let failure = error.failure.unwrap_or(ConnectionFailure::Other);
                Err(KubernetesError::Unreachable { failure, reason: error.message })
            }
            Err(_) => Err(KubernetesError::Unreachable {
                failure: ConnectionFailure::TimedOut,
                reason: format!("no response within {} s", limit.as_secs()),
            }),
        }
    }
}

fn to_http(method: &str, path: &str, body: &str, authorization: &str) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method)?;
    request.set_uri(path)?;
    let headers = request.headers_mut();
    headers.insert("authorization", authorization.to_owned());
    if !body.is_empty() {
        headers.insert("content-type", "application/json");
    }
    headers.insert("accept", "application/json");
    headers.insert("user-agent", concat!("rolecall/", env!("CARGO_PKG_VERSION")));
    Ok(request)
}

fn from_http(response: &HttpResponse) -> Response {
    Response { status: response.status().as_u16(), body: response.body().bytes().unwrap_or_default().to_vec() }
}

/// Percent-encodes one segment of a path.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}
