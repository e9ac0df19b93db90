//! The endpoints of AWS's services. `[endpoints]` of Rolecall's configuration overrides AWS's own files.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use rolecall_protocol::Region;

use crate::http;
use crate::shared_config::NetworkSettings;
use rolecall_core::clock::Clock;
use rolecall_core::config::network::{CaBundle, Network, Service};
use rolecall_core::config::partition;

/// The key of a service's URL in AWS's files.
const ENDPOINT_KEY: &str = "endpoint_url";

/// The network settings in use, and the HTTP client that has them.
#[derive(Debug)]
pub(crate) struct ActiveNetwork {
    pub(crate) network: Arc<Network>,
    pub(crate) http: SharedHttpClient,
    /// Whether the HTTP client came from the caller. Network settings do not replace it then.
    pub(crate) is_injected: bool,
    /// The last HTTP client for a CA bundle of an AWS profile.
    with_ca: Mutex<Option<(CaBundle, SharedHttpClient)>>,
}

impl ActiveNetwork {
    /// The value without network settings.
    pub(crate) fn new(http: SharedHttpClient, is_injected: bool) -> Self {
        Self { network: Arc::default(), http, is_injected, with_ca: Mutex::default() }
    }

    /// The HTTP client that trusts this bundle.
    pub(crate) fn http_with_ca(&self, bundle: CaBundle, clock: &Clock) -> SharedHttpClient {
        let mut last = self.with_ca.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, http)) = last.as_ref().filter(|(known, _)| *known == bundle) {
            return http.clone();
        }
        let http = http::http_client_with_ca(clock.clone(), &self.network.path, &bundle);
        last.insert((bundle, http)).1.clone()
    }

    /// The value for other network settings. The HTTP client stays if the network path does.
    pub(crate) fn for_network(&self, network: &Arc<Network>, clock: &Clock) -> Self {
        let http = if self.is_injected || self.network.path == network.path {
            self.http.clone()
        } else {
            http::http_client(clock.clone(), &network.path)
        };
        Self { network: Arc::clone(network), ..Self::new(http, self.is_injected) }
    }
}

/// The key that a service's client reads its URL from.
pub(crate) fn endpoint_key(service: Service) -> Option<ServiceConfigKey<'static>> {
    let builder =
        ServiceConfigKey::builder().service_id(service.documented_id()).env("AWS_ENDPOINT_URL").profile(ENDPOINT_KEY);
    builder.build().ok()
}

/// The URLs of services for the SDK's clients: those of `[endpoints]`, then those of the AWS profile.
#[derive(Debug)]
pub(crate) struct EndpointUrls {
    network: Arc<Network>,
    profile: Arc<NetworkSettings>,
}

impl EndpointUrls {
    pub(crate) fn new(network: &Arc<Network>, profile: &Arc<NetworkSettings>) -> Self {
        Self { network: Arc::clone(network), profile: Arc::clone(profile) }
    }

    /// The URL of a service, such as `sts`, `SSO OIDC` or `sso_oidc`. `None` for the region's own.
    pub(crate) fn url_of(&self, id: &str) -> Option<String> {
        match Service::of_id(id).and_then(|service| self.network.endpoints.get(service)) {
            Some(url) => Some(url.as_str().to_owned()),
            None => self.profile.url_of(&services_key(id)).map(str::to_owned),
        }
    }
}

impl LoadServiceConfig for EndpointUrls {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        (key.profile() == ENDPOINT_KEY).then(|| self.url_of(key.service_id())).flatten()
    }
}

/// The name of a service in `services` sections of AWS's files, for example `sso_oidc` for `SSO OIDC`.
fn services_key(id: &str) -> String {
    id.to_ascii_lowercase().replace([' ', '-'], "_")
}

/// Returns the URL `https://HOST.REGION.SUFFIX` of a service (its endpoint rules in botocore), or `None` if AWS's rules have no
/// address for the region, FIPS or dual-stack setting. GovCloud uses the host `plain` for FIPS too.
pub(crate) async fn regional_url(
    region: &Region,
    (use_fips, dual_stack): (bool, bool),
    plain: &str,
    fips: &str,
) -> Option<String> {
    let suffix = dns_suffix(region, use_fips, dual_stack).await?;
    let is_plain = !use_fips || (!dual_stack && partition(region) == "aws-us-gov");
    Some(format!("https://{}.{region}.{suffix}", if is_plain { plain } else { fips }))
}

/// Returns the DNS suffix of a region's partition, from the SDK's rules for STS.
async fn dns_suffix(region: &Region, fips: bool, dual_stack: bool) -> Option<String> {
    let params = Params::builder().region(region.as_str()).use_global_endpoint(false);
    let params = params.use_fips(fips).use_dual_stack(dual_stack).build().ok()?;
    let sts = DefaultResolver::new().resolve_endpoint(&params).await.ok()?;
    let (_, suffix) = sts.url().split_once(&format!(".{region}."))?;
    Some(suffix.trim_end_matches('/').to_owned())
}
