//! Signed calls to services whose SDK client is not linked.
//!
//! Rolecall needs a few operations of IAM and EKS. The generated clients of both have 350,000 lines, which was a fifth of
//! a build. This module runs the same pipeline as a generated client (endpoint, signature, timeouts, HTTP
//! client, error types) with hand-written requests and readers.

use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_smithy_xml::decode::{Document, try_data};
use aws_types::SigningName;
use aws_types::region::{Region as SdkRegion, SigningRegion};
use rolecall_protocol::Region;
use serde_json::Value;

use rolecall_core::config::network::Service;

/// AWS logs it with each call (CloudTrail).
pub(crate) const USER_AGENT: &str = concat!("rolecall/", env!("CARGO_PKG_VERSION"));

/// How a service encodes requests, responses and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    /// Requests are forms, responses are XML: IAM and STS.
    Query,
    /// Both are JSON: EKS.
    RestJson,
}

/// The service that a call goes to.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The service; its name is also the one in the signature.
    pub service: Service,
    /// The base URL, without a query.
    pub url: String,
    /// The region in the signature.
    pub region: &'a Region,
    /// How the service encodes.
    pub format: WireFormat,
}

/// One request, before it is signed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation, such as `DescribeCluster`. For logs.
    pub operation: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, percent-encoded, relative to the base URL.
    pub path: String,
    /// The body; empty for none.
    pub body: String,
}

/// Signs and sends one request with the credentials, clock, timeouts and HTTP client of `config`, without retries.
///
/// `read` gets the body of a response with a 2xx status. A response that `read` rejects is an error without a code, like one
/// that a generated client cannot parse.
pub async fn send<T>(
    config: &SdkConfig,
    target: Target<'_>,
    request: Request,
    read: impl Fn(&[u8]) -> Result<T, BoxError> + Send + Sync + 'static,
) -> Result<T, SdkError<ErrorMetadata, HttpResponse>>
where
    T: std::fmt::Debug + Send + Sync + 'static,
{
    let format = target.format;
    let builder = Operation::builder().service_name(target.service.name()).operation_name(request.operation);
    let operation = with_config(builder, config)
        .endpoint_url(&target.url)
        .runtime_plugin(signing(config.credentials_provider(), target.service, target.region))
        .serializer(move |(): ()| to_http(&request, format))
        .deserializer(move |response: &HttpResponse| from_http(response, format, &read))
        .build();
    operation.invoke(()).await
}

/// Adds the timeouts, HTTP client, clock and timers of `config`. There are no retries.
pub(crate) fn with_config<I, O, E>(
    mut builder: OperationBuilder<I, O, E>,
    config: &SdkConfig,
) -> OperationBuilder<I, O, E> {
    let timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    builder = builder.behavior_version(crate::client::behavior_version()).no_retry().timeout_config(timeouts);
    if let Some(http) = config.http_client() {
        builder = builder.http_client(http);
    }
    if let Some(time) = config.time_source() {
        builder = builder.time_source(time);
    }
    if let Some(sleep) = config.sleep_impl() {
        builder = builder.sleep_impl(sleep);
    }
    builder
}

/// Signs with AWS Signature Version 4, and keeps responses out of the SDK's trace log: they may hold a secret key.
fn signing(credentials: Option<SharedCredentialsProvider>, service: Service, region: &Region) -> StaticRuntimePlugin {
    let mut layer = Layer::new("Signing");
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(SdkRegion::new(region.as_str().to_owned()))),
        name: Some(SigningName::from_static(service.name())),
        ..SigV4OperationSigningConfig::default()
    });
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SensitiveOutput);
    let mut components = RuntimeComponentsBuilder::new("Signing")
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
        .with_identity_cache(Some(IdentityCache::no_cache()));
    if let Some(credentials) = credentials {
        components.set_identity_resolver(SCHEME_ID, credentials);
    }
    StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
}

fn to_http(request: &Request, format: WireFormat) -> Result<HttpRequest, BoxError> {
    let mut http = HttpRequest::new(SdkBody::from(request.body.as_str()));
    http.set_method(request.method)?;
    http.set_uri(request.path.as_str())?;
    http.headers_mut().insert("user-agent", USER_AGENT);
    if !request.body.is_empty() {
        let content_type = match format {
            WireFormat::Query => "application/x-www-form-urlencoded",
            WireFormat::RestJson => "application/json",
        };
        http.headers_mut().insert("content-type", content_type);
    }
    Ok(http)
}

/// Reads the body of a response with a 2xx status. Errors with the error that the body of another response describes, or
/// without a code if `read` rejects the body.
pub(crate) fn from_http<T>(
    response: &HttpResponse,
    format: WireFormat,
    read: impl Fn(&[u8]) -> Result<T, BoxError>,
) -> Result<T, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    let error = if response.status().is_success() {
        match read(body) {
            Ok(output) => return Ok(output),
            Err(_) => None,
        }
    } else {
        match format {
            WireFormat::Query => xml_error(body),
            WireFormat::RestJson => json_error(response.headers().get("x-amzn-errortype"), body),
        }
    };
    Err(OrchestratorError::operation(error.unwrap_or_default()))
}

/// Reads `<ErrorResponse><Error><Code>…</Code><Message>…</Message></Error></ErrorResponse>`.
fn xml_error(body: &[u8]) -> Option<ErrorMetadata> {
    let mut document = Document::try_from(body).ok()?;
    let mut root = document.root_element().ok()?;
    let mut error = ErrorMetadata::builder();
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().local() != "Error" {
            continue;
        }
        while let Some(mut field) = tag.next_tag() {
            error = match field.start_el().local() {
                "Code" => error.code(try_data(&mut field).ok()?),
                "Message" => error.message(try_data(&mut field).ok()?),
                _ => error,
            };
        }
    }
    Some(error.build())
}

/// Reads an error of a JSON service: the code is in a header or in the body, with a namespace before a `#` or a URL after
/// a `:` (Smithy, AWS restJson1, "Operation error serialization").
fn json_error(header: Option<&str>, body: &[u8]) -> Option<ErrorMetadata> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let field = |names: &[&str]| names.iter().find_map(|name| body.get(name)?.as_str());
    let mut error = ErrorMetadata::builder();
    if let Some(code) = header.or_else(|| field(&["code", "__type"])) {
        let code = code.split(':').next().unwrap_or(code);
        error = error.code(code.rsplit('#').next().unwrap_or(code));
    }
    if let Some(message) = field(&["message", "Message", "errorMessage"]) {
        error = error.message(message);
    }
    Some(error.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: Option<ErrorMetadata>) -> Option<(String, String)> {
        let error = error?;
        Some((error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned()))
    }

    fn pair(code: &str, message: &str) -> (String, String) {
        (code.to_owned(), message.to_owned())
    }

    #[test]
    fn json_error_code_from_header_or_body() {
        let body = br#"{"__type":"com.amazonaws.eks#InvalidParameterException","message":"no"}"#;
        assert_eq!(fields(json_error(None, body)), Some(pair("InvalidParameterException", "no")));
        let header = Some("ResourceNotFoundException:http://internal.amazon.com/coral/");
        assert_eq!(
            fields(json_error(header, br#"{"message":"No cluster"}"#)),
            Some(pair("ResourceNotFoundException", "No cluster"))
        );
        assert_eq!(fields(json_error(None, br#"{"Message":"x"}"#)), Some(pair("", "x")));
    }

    #[test]
    fn json_error_other_text_no_code() {
        for body in ["", "<html>", "[1", "{\"message\":"] {
            assert_eq!(fields(json_error(Some("AccessDenied"), body.as_bytes())), None, "{body}");
        }
    }

    #[test]
    fn xml_error_code_and_message() {
        let body = "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
                    <Code>LimitExceeded</Code><Message>a &lt; b</Message></Error><RequestId>x</RequestId></ErrorResponse>";
        assert_eq!(fields(xml_error(body.as_bytes())), Some(pair("LimitExceeded", "a < b")));
    }

    #[test]
    fn xml_error_other_text_no_code() {
        for body in ["", "{}", "<html><body>sign in</body></html>", "<ErrorResponse><Error><Code>"] {
            let fields = fields(xml_error(body.as_bytes()));
            assert!(fields.is_none() || fields == Some(pair("", "")), "{body}: {fields:?}");
        }
    }
}
