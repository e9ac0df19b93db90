//! The HTTP client under everything that talks to AWS, the SDK's credential providers too: nothing leaves this machine over
//! plain HTTP, and no answer is read beyond a bound.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// The most that is read of an answer, in bytes (E4). AWS's own have a few kilobytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// Where EC2 and ECS hand out the credentials of the machine itself, over plain HTTP by design: link-local addresses, which
/// no router forwards.
const METADATA: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"];

/// The SDK's own client, behind the wall.
#[must_use]
pub fn guarded() -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    SharedHttpClient::new(GuardedClient(client))
}

/// The endpoint is plain HTTP on another machine; nothing was sent.
#[derive(Debug)]
pub struct InsecureEndpoint;

#[derive(Debug)]
struct GuardedClient(SharedHttpClient);

#[derive(Debug)]
struct GuardedConnector(SharedHttpConnector);

impl HttpClient for GuardedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(GuardedConnector(self.0.http_connector(settings, components)))
    }
}

impl HttpConnector for GuardedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !may_send_to(request.uri()) {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(InsecureEndpoint))));
        }
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let body = answer.take_body();
            *answer.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER));
            Ok(answer)
        })
    }
}

impl fmt::Display for InsecureEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configured endpoint is plain http on another machine")
    }
}

impl Error for InsecureEndpoint {}

/// Whether a URI is https, or plain http to this very machine or its metadata service.
fn may_send_to(uri: &str) -> bool {
    if uri.starts_with("https://") {
        return true;
    }
    let Some(rest) = uri.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_local || METADATA.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for uri in [
            "https://sts.eu-west-1.amazonaws.com/",
            "http://127.0.0.1:80/",
            "http://[::1]:1/",
            "http://localhost",
            "http://169.254.169.254/latest/meta-data/",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(may_send_to(uri), "{uri}");
        }
        for uri in [
            "http://sts.amazonaws.com/",
            "http://127.0.0.1.evil.com/",
            "http://localhost@evil.com/",
            "ftp://localhost",
            "http://169.254.169.253/",
            "http://127.0.0.1:80@evil.com/",
        ] {
            assert!(!may_send_to(uri), "{uri}");
        }
    }
}
