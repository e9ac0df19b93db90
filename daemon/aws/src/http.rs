//! The HTTP client of every call to AWS, including those of the SDK's credential providers. It sends nothing to another
//! machine over plain HTTP, limits the size of responses, and sets the clock from their `Date` header.
//!
//! It keeps no connection open. AWS is called a few times an hour, so a pool would save nothing. After sleep, on another
//! network, the first request on an old connection would get no response (B10).

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use http_body_util::Limited;

use rolecall_core::clock::{Clock, ClockSample};
use rolecall_core::config::network::no_proxy::NoProxy;
use rolecall_core::config::network::{CaBundle, NetworkPath, Proxy};
use rolecall_protocol::HttpUrl;

use crate::connection::{DNS_TIMEOUT, DnsError, NoResponse};

/// How long a call may wait for the head of its response. It ends before the timeout of the attempt, so that the error names the
/// host.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(4800);
/// A name that exists wherever AWS can be reached. If it is found and another name is not, the other name is wrong.
const KNOWN_NAME: &str = "sts.us-east-1.amazonaws.com";
/// The largest response body, in bytes (E4). Responses of AWS have a few kilobytes.
const MAX_RESPONSE_BODY: usize = 1024 * 1024;
/// The largest response body of an API server, in bytes. A ConfigMap has up to 1 MiB of text, and JSON escapes parts of it.
const MAX_API_SERVER_BODY: usize = 4 * 1024 * 1024;
/// The metadata services of EC2 and ECS. They use plain HTTP by design, on link-local addresses, which no router forwards.
const METADATA_HOSTS: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"];

/// Returns the SDK's HTTP client, restricted, for a network path.
#[must_use]
pub fn http_client(clock: Clock, path: &NetworkPath) -> SharedHttpClient {
    let roots = system_roots();
    client_with_roots(
        clock,
        path,
        path.ca_bundle.iter().fold(roots, |roots, bundle| roots.with_pem_certificate(bundle.pem())),
    )
}

/// Returns the same client for an AWS profile with a CA bundle, which replaces the CAs of the system, as in the AWS CLI.
pub(crate) fn http_client_with_ca(clock: Clock, path: &NetworkPath, bundle: &CaBundle) -> SharedHttpClient {
    let roots = TrustStore::empty().with_pem_certificate(bundle.pem());
    client_with_roots(
        clock,
        path,
        path.ca_bundle.iter().fold(roots, |roots, bundle| roots.with_pem_certificate(bundle.pem())),
    )
}

/// Returns the certificate authorities of the system. If there are none, the SDK panics in a debug build; an empty store gives the
/// error of a release build.
fn system_roots() -> TrustStore {
    static HAS_SOME: LazyLock<bool> = LazyLock::new(|| !rustls_native_certs::load_native_certs().certs.is_empty());
    if !cfg!(debug_assertions) || *HAS_SOME { TrustStore::default() } else { TrustStore::empty() }
}

fn client_with_roots(clock: Clock, path: &NetworkPath, roots: TrustStore) -> SharedHttpClient {
    limited_client(clock, path, roots, MAX_RESPONSE_BODY)
}

fn limited_client(clock: Clock, path: &NetworkPath, roots: TrustStore, max_body: usize) -> SharedHttpClient {
    // `build` always succeeds.
    let tls = TlsContext::builder().with_trust_store(roots).build().unwrap_or_default();
    let proxied = path.proxy.as_ref().and_then(|proxy| {
        Some(Proxied { http: client(tls.clone(), proxy_config(proxy)?), no_proxy: proxy.no_proxy.clone() })
    });
    SharedHttpClient::new(RestrictedClient { direct: client(tls, ProxyConfig::disabled()), proxied, clock, max_body })
}

/// Returns a client, restricted in the same way, for one server: it accepts only certificates of the authorities in
/// `ca_pem`, which [`check_certificates`](rolecall_core::config::network::check_certificates) accepts. The proxy is that
/// of the network path.
#[must_use]
pub fn pinned_client(clock: Clock, path: &NetworkPath, ca_pem: &[u8]) -> SharedHttpClient {
    limited_client(clock, path, TrustStore::empty().with_pem_certificate(ca_pem), MAX_API_SERVER_BODY)
}

/// Restricts another HTTP client in the same way.
#[must_use]
pub fn restrict(client: SharedHttpClient, clock: Clock) -> SharedHttpClient {
    SharedHttpClient::new(RestrictedClient { direct: client, proxied: None, clock, max_body: MAX_RESPONSE_BODY })
}

/// The proxy settings of the SDK. The SDK accepts each URL that the configuration accepts.
fn proxy_config(proxy: &Proxy) -> Option<ProxyConfig> {
    let config = ProxyConfig::https(proxy.url().expose().as_str());
    if config.is_err() {
        tracing::error!(%proxy, "proxy URL rejected by the SDK");
    }
    config.ok()
}

fn client(tls: TlsContext, proxy: ProxyConfig) -> SharedHttpClient {
    let connect = move |settings: Option<&HttpConnectorSettings>, components: Option<&RuntimeComponents>| {
        let mut connector = Connector::builder();
        connector.set_pool_max_idle_per_host(Some(0));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        let connector = connector.proxy_config(proxy.clone()).tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.tls_context(tls.clone()).build_with_resolver(Resolver)
    };
    aws_smithy_http_client::Builder::new().build_with_connector_fn(connect)
}

/// The endpoint is plain HTTP on another machine, or its URL is malformed. The request was not sent.
#[derive(Debug)]
pub struct InsecureEndpoint;

/// Debug output leaves out the clients, which hold the proxy's password.
struct RestrictedClient {
    direct: SharedHttpClient,
    proxied: Option<Proxied<SharedHttpClient>>,
    clock: Clock,
    max_body: usize,
}

struct RestrictedConnector {
    direct: SharedHttpConnector,
    proxied: Option<Proxied<SharedHttpConnector>>,
    clock: Clock,
    max_body: usize,
}

/// What sends calls through a proxy, except those to some hosts.
struct Proxied<T> {
    http: T,
    no_proxy: NoProxy,
}

/// The system's resolver with a timeout.
#[derive(Debug, Clone, Copy)]
struct Resolver;

impl fmt::Debug for RestrictedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestrictedClient").finish_non_exhaustive()
    }
}

impl fmt::Debug for RestrictedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestrictedConnector").finish_non_exhaustive()
    }
}

impl HttpClient for RestrictedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let direct = self.direct.http_connector(settings, components);
        let proxied = self.proxied.as_ref().map(|proxied| Proxied {
            http: proxied.http.http_connector(settings, components),
            no_proxy: proxied.no_proxy.clone(),
        });
        let (clock, max_body) = (self.clock.clone(), self.max_body);
        SharedHttpConnector::new(RestrictedConnector { direct, proxied, clock, max_body })
    }
}

impl HttpConnector for RestrictedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !may_send_to(request.uri()) {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(InsecureEndpoint))));
        }
        let proxied = self.proxied.as_ref().filter(|proxied| may_use_proxy(request.uri(), &proxied.no_proxy));
        let (is_proxied, connector) = (proxied.is_some(), proxied.map_or(&self.direct, |proxied| &proxied.http));
        let host = HttpUrl::parse(request.uri()).map(|url| url.host().to_owned()).unwrap_or_default();
        // The service checks signatures, so its clock counts. A metadata service gets no signature.
        let is_signed = request.headers().get("authorization").is_some_and(|value| value.starts_with("AWS4-"));
        let is_authenticated = request.uri().starts_with("https://");
        let (clock, sent, max_body) = (self.clock.clone(), self.clock.sample(), self.max_body);
        let response = connector.call(request);
        HttpConnectorFuture::new(async move {
            let late = |_| ConnectorError::timeout(Box::new(io::Error::from(io::ErrorKind::TimedOut)));
            let response = tokio::time::timeout(RESPONSE_TIMEOUT, response).await.map_err(late).flatten();
            let mut response = response.map_err(|error| NoResponse::wrap(&host, is_proxied, error))?;
            if is_signed {
                update_clock(&clock, sent, is_authenticated, response.headers());
            }
            let body = response.take_body();
            *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, max_body));
            Ok(response)
        })
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { resolve(name).await.map_err(ResolveDnsError::new) })
    }
}

async fn resolve(name: &str) -> Result<Vec<IpAddr>, DnsError> {
    let lookup = |name: String| async move {
        let found = tokio::time::timeout(DNS_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
        found.map(|found| found.map(|found| found.map(|address| address.ip()).collect()))
    };
    match lookup(name.to_owned()).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Err(_) => Err(DnsError::TimedOut { name: name.to_owned() }),
        Ok(Err(cause)) => {
            let known: Result<io::Result<Vec<IpAddr>>, _> = lookup(KNOWN_NAME.to_owned()).await;
            Err(match known {
                Ok(Ok(_)) if name != KNOWN_NAME => DnsError::Unknown { name: name.to_owned() },
                _ => DnsError::Failed { name: name.to_owned(), cause },
            })
        }
    }
}

/// Sets the clock from the `Date` header. A cached response (`Age`) has the date at which it was cached (B9).
fn update_clock(clock: &Clock, sent: ClockSample, is_authenticated: bool, headers: &Headers) {
    let date = headers.get("date").filter(|_| headers.get("age").is_none());
    let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    if let Some(date) = date.and_then(|date| SystemTime::try_from(date).ok()) {
        clock.learn(date, sent, is_authenticated);
    }
}

impl fmt::Display for InsecureEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configured endpoint is not an https URL (http is allowed for this machine only)")
    }
}

impl Error for InsecureEndpoint {}

/// Whether a request may be sent to a URI: https, or plain http to this machine or its metadata service.
pub(crate) fn may_send_to(uri: &str) -> bool {
    HttpUrl::parse(uri).is_ok_and(|url| url.is_secure() || is_metadata_service(&url))
}

/// Whether a request may go through a proxy. A proxy has another loopback address and another metadata service.
fn may_use_proxy(uri: &str, no_proxy: &NoProxy) -> bool {
    HttpUrl::parse(uri).is_ok_and(|url| {
        let is_excepted = url.is_loopback() || is_metadata_service(&url);
        url.is_https() && !is_excepted && !no_proxy.contains(url.host(), url.port().unwrap_or(443))
    })
}

fn is_metadata_service(url: &HttpUrl<'_>) -> bool {
    METADATA_HOSTS.contains(&url.host())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 78.
    #[test]
    fn update_clock_ignores_date_of_cached_response() {
        let clock = Clock::machine();
        let sent = clock.sample();
        let now = DateTime::from(clock.now()).fmt(Format::HttpDate).unwrap();
        let is_set_by = |fields: &[(&'static str, &str)]| {
            let mut headers = Headers::new();
            for (name, value) in fields {
                headers.insert(*name, (*value).to_owned());
            }
            update_clock(&clock, sent, true, &headers);
            clock.status().is_some()
        };
        assert!(!is_set_by(&[("date", &now), ("age", "0")]));
        assert!(!is_set_by(&[("date", "yesterday")]));
        assert!(!is_set_by(&[]));
        assert!(is_set_by(&[("date", &now)]));
    }

    #[test]
    fn may_send_to_plain_http_on_this_machine_only() {
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
            "https://sts.amazonaws.com@evil.com/",
            "http://169.254.169.254@evil.com/",
            "http://evil.com\\@127.0.0.1/",
            "http://evil.com/?@127.0.0.1/",
            "http://[::1]@evil.com/",
            "http://2130706433/",
            "http:127.0.0.1/",
            "",
        ] {
            assert!(!may_send_to(uri), "{uri}");
        }
    }

    #[test]
    fn may_use_proxy_not_for_this_machine() {
        for uri in [
            "https://localhost:1/",
            "https://127.1.2.3/",
            "https://[::1]/",
            "http://127.0.0.1/",
            "http://169.254.169.254/",
            "https://169.254.170.2/",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(!may_use_proxy(uri, &NoProxy::default()), "{uri}");
        }
        for uri in ["https://sts.eu-west-1.amazonaws.com/", "https://127.0.0.1.example.com/", "https://10.0.0.1/"] {
            assert!(may_use_proxy(uri, &NoProxy::default()), "{uri}");
        }
    }
}
