//! The HTTP client under everything that talks to AWS, the SDK's credential providers too: nothing leaves this machine over
//! plain HTTP, no answer is read beyond a bound, and the clock learns from every answer.
//!
//! No connection is kept for later. AWS is called a few times an hour, so a pool would save nothing; and after a nap, on
//! another network, a kept connection is one that swallows the first request (B10).

use std::error::Error;
use std::fmt;
use std::io;
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
use rolecall_core::config::network::{NetworkPath, Proxy};
use rolecall_core::config::url::{host_of, is_loopback, is_loopback_host};

/// How long a name may take to become an address (B12); the system's own patience is minutes.
const DNS_TIMEOUT: Duration = Duration::from_secs(2);
/// The most that is read of an answer, in bytes (E4). AWS's own have a few kilobytes.
const MAX_RESPONSE_BODY: usize = 1024 * 1024;
/// Where EC2 and ECS hand out the credentials of the machine itself, over plain HTTP by design: link-local addresses, which
/// no router forwards.
const METADATA_HOSTS: [&str; 4] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"];

/// The SDK's own client, behind the wall, on that way.
#[must_use]
pub fn http_client(clock: Clock, way: &NetworkPath) -> SharedHttpClient {
    let roots = way
        .ca_bundle
        .as_ref()
        .map_or_else(TrustStore::default, |bundle| TrustStore::default().with_pem_certificate(bundle.pem()));
    // Fails for no trust store.
    let tls = TlsContext::builder().with_trust_store(roots).build().unwrap_or_default();
    let proxied = way.proxy.as_ref().and_then(proxy_config).map(|proxy| client(tls.clone(), proxy));
    SharedHttpClient::new(RestrictedClient { direct: client(tls, ProxyConfig::disabled()), proxied, clock })
}

/// Any client behind the wall.
#[must_use]
pub fn restrict(client: SharedHttpClient, clock: Clock) -> SharedHttpClient {
    SharedHttpClient::new(RestrictedClient { direct: client, proxied: None, clock })
}

/// A proxy as the client knows it. What the configuration takes for a URL it takes too.
fn proxy_config(proxy: &Proxy) -> Option<ProxyConfig> {
    let config = ProxyConfig::https(proxy.url().expose().as_str());
    if config.is_err() {
        tracing::error!(%proxy, "The proxy's URL is none");
    }
    Some(config.ok()?.no_proxy(&proxy.no_proxy))
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

/// The endpoint is plain HTTP on another machine; nothing was sent.
#[derive(Debug)]
pub struct InsecureEndpoint;

/// Says nothing of its clients, which know the proxy's password.
struct RestrictedClient {
    direct: SharedHttpClient,
    proxied: Option<SharedHttpClient>,
    clock: Clock,
}

struct RestrictedConnector {
    direct: SharedHttpConnector,
    proxied: Option<SharedHttpConnector>,
    clock: Clock,
}

/// The system's resolver, with a limit.
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
        let proxied = self.proxied.as_ref().map(|client| client.http_connector(settings, components));
        SharedHttpConnector::new(RestrictedConnector { direct, proxied, clock: self.clock.clone() })
    }
}

impl HttpConnector for RestrictedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !may_send_to(request.uri()) {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(InsecureEndpoint))));
        }
        let connector = self.proxied.as_ref().filter(|_| may_use_proxy(request.uri())).unwrap_or(&self.direct);
        // A service that judges signatures; not a server of credentials on this very machine, which has this machine's time.
        let tells_time = request.headers().get("authorization").is_some_and(|said| said.starts_with("AWS4-"));
        let is_authenticated = request.uri().starts_with("https://");
        let (clock, sent) = (self.clock.clone(), self.clock.sample());
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            if tells_time {
                update_clock(&clock, sent, is_authenticated, answer.headers());
            }
            let body = answer.take_body();
            *answer.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_RESPONSE_BODY));
            Ok(answer)
        })
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let failed = |error: io::Error| ResolveDnsError::new(error);
            let slow = |_| {
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no address of {name} within {} s", DNS_TIMEOUT.as_secs()),
                )
            };
            let found = tokio::time::timeout(DNS_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
            let found = found.map_err(slow).map_err(failed)?.map_err(failed)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Tells the clock what AWS says the time is. An answer that somebody kept tells when it was kept (B9).
fn update_clock(clock: &Clock, sent: ClockSample, is_authenticated: bool, headers: &Headers) {
    let date = headers.get("date").filter(|_| headers.get("age").is_none());
    let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    if let Some(date) = date.and_then(|date| SystemTime::try_from(date).ok()) {
        clock.learn(date, sent, is_authenticated);
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
    uri.starts_with("https://") || is_loopback(uri) || is_metadata_service(uri)
}

/// Whether a URI may be reached through a proxy: what is on this machine, or its metadata service, is another for the proxy.
fn may_use_proxy(uri: &str) -> bool {
    let host = uri.strip_prefix("https://").and_then(host_of);
    host.is_some_and(|host| !is_loopback_host(host) && !METADATA_HOSTS.contains(&host))
}

/// Whether a URI is the metadata service's.
fn is_metadata_service(uri: &str) -> bool {
    uri.strip_prefix("http://").and_then(host_of).is_some_and(|host| METADATA_HOSTS.contains(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_78_a_date_that_somebody_kept_is_not_the_time() {
        let clock = Clock::machine();
        let sent = clock.sample();
        let now = DateTime::from(clock.now()).fmt(Format::HttpDate).unwrap();
        let say = |said: &[(&'static str, &str)]| {
            let mut headers = Headers::new();
            for (name, value) in said {
                headers.insert(*name, (*value).to_owned());
            }
            update_clock(&clock, sent, true, &headers);
            clock.status().is_some()
        };
        assert!(!say(&[("date", &now), ("age", "0")]));
        assert!(!say(&[("date", "yesterday")]));
        assert!(!say(&[]));
        assert!(say(&[("date", &now)]));
    }

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

    #[test]
    fn what_is_near_goes_through_no_proxy() {
        for near in [
            "https://localhost:1/",
            "https://127.1.2.3/",
            "https://[::1]/",
            "http://127.0.0.1/",
            "http://169.254.169.254/",
            "https://169.254.170.2/",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(!may_use_proxy(near), "{near}");
        }
        for far in ["https://sts.eu-west-1.amazonaws.com/", "https://127.0.0.1.example.com/", "https://10.0.0.1/"] {
            assert!(may_use_proxy(far), "{far}");
        }
    }
}
