//! Calls to the services of logins: IAM Identity Center and AWS Sign-In. Their requests carry no signature. A secret in the
//! request authorizes them.
//!
//! Rolecall needs eight operations of three services, all in JSON. Like [`crate::signed_call`], this module runs the pipeline
//! of a generated client, which would add a second of its own code for each of these operations to a build.

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, SensitiveOutput};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use rolecall_protocol::Secret;
use serde::de::DeserializeOwned;

use crate::signed_call::{USER_AGENT, WireFormat, from_http, with_config};

/// One request.
#[derive(Debug)]
pub(crate) struct UnsignedRequest {
    /// The operation, such as `CreateToken`. For logs.
    pub(crate) operation: &'static str,
    /// The HTTP method.
    pub(crate) method: &'static str,
    /// The base URL of the service.
    pub(crate) url: String,
    /// Path and query, percent-encoded, relative to the base URL.
    pub(crate) path: String,
    /// A header with a secret.
    pub(crate) header: Option<(&'static str, Secret<String>)>,
    /// The body in JSON; empty for none.
    pub(crate) body: Secret<String>,
}

/// The error of a call, with the response if there was one.
pub(crate) type UnsignedCallError = SdkError<ErrorMetadata, HttpResponse>;

/// Sends one request with the clock, timeouts and HTTP client of `config`, without retries. An empty response is read as an
/// empty object.
pub(crate) async fn send<T>(config: &SdkConfig, request: UnsignedRequest) -> Result<T, UnsignedCallError>
where
    T: DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    // Keeps the response out of the SDK's trace log.
    let mut layer = Layer::new("Unsigned");
    layer.store_put(SensitiveOutput);
    let builder = Operation::builder().service_name("login").operation_name(request.operation);
    let operation = with_config(builder, config)
        .endpoint_url(&request.url)
        .no_auth()
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()))
        .serializer(move |(): ()| to_http(&request))
        .deserializer(|response: &HttpResponse| from_http(response, WireFormat::RestJson, read))
        .build();
    // In a box because the future has many kilobytes.
    Box::pin(operation.invoke(())).await
}

fn to_http(request: &UnsignedRequest) -> Result<HttpRequest, BoxError> {
    let body = request.body.expose();
    let mut http = HttpRequest::new(SdkBody::from(body.as_str()));
    http.set_method(request.method)?;
    http.set_uri(request.path.as_str())?;
    let headers = http.headers_mut();
    headers.insert("user-agent", USER_AGENT);
    if !body.is_empty() {
        headers.insert("content-type", "application/json");
    }
    if let Some((name, value)) = &request.header {
        headers.try_insert(*name, value.expose().clone())?;
    }
    Ok(http)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BoxError> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(Into::into)
}
