//! How AWS is reached, and where its services are: what the configuration says of it, above what AWS's own files say.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::http;
use rolecall_core::clock::Clock;
use rolecall_core::config::network::{Endpoints, Network, Service};

/// What AWS's files call the address of a service.
const ENDPOINT_KEY: &str = "endpoint_url";
/// A section of AWS's files that is ours, where a profile has none for its services.
const SERVICES_SECTION: &str = "rolecall-endpoints";

/// How AWS is reached, and the client that does.
#[derive(Debug)]
pub(crate) struct ActiveNetwork {
    pub(crate) network: Arc<Network>,
    pub(crate) http: SharedHttpClient,
    /// Whether the client came from outside, and stays whatever the configuration says.
    pub(crate) is_injected: bool,
}

impl ActiveNetwork {
    /// The same for another network; a client on the same way stays.
    pub(crate) fn for_network(&self, network: &Arc<Network>, clock: &Clock) -> Self {
        let http = if self.is_injected || self.network.path == network.path {
            self.http.clone()
        } else {
            http::http_client(clock.clone(), &network.path)
        };
        Self { network: Arc::clone(network), http, is_injected: self.is_injected }
    }
}

/// What stands above AWS's own files for the SDK's providers of a profile's credentials, if anything does: they find
/// addresses in files alone.
pub(crate) fn overrides(endpoints: &Endpoints, profile: &str, services: Option<&str>) -> Option<String> {
    let mut overrides = match services {
        Some(services) => format!("[services {services}]\n"),
        None => format!("[profile {profile}]\nservices = {SERVICES_SECTION}\n[services {SERVICES_SECTION}]\n"),
    };
    let mut is_empty = true;
    for (service, url) in endpoints.iter() {
        // Writing to a string does not fail.
        let _ = writeln!(overrides, "{} =\n  {ENDPOINT_KEY} = {url}", service.name());
        is_empty = false;
    }
    (!is_empty).then_some(overrides)
}

/// The key under which a service's client looks for its address.
pub(crate) fn endpoint_key(service: Service) -> Option<ServiceConfigKey<'static>> {
    let builder = ServiceConfigKey::builder().service_id(service.name()).env("AWS_ENDPOINT_URL").profile(ENDPOINT_KEY);
    builder.build().ok()
}

/// Where a client finds its service's address: in `[endpoints]`, else in AWS's files.
#[derive(Debug)]
pub(crate) struct EndpointUrls {
    network: Arc<Network>,
    from_files: SdkConfig,
}

impl EndpointUrls {
    pub(crate) fn new(network: &Arc<Network>, from_files: SdkConfig) -> Self {
        Self { network: Arc::clone(network), from_files }
    }
}

impl LoadServiceConfig for EndpointUrls {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let own = Service::from_sdk_id(key.service_id()).filter(|_| key.profile() == ENDPOINT_KEY);
        match own.and_then(|service| self.network.endpoints.get(service)) {
            Some(url) => Some(url.as_str().to_owned()),
            None => self.from_files.service_config()?.load_config(key),
        }
    }
}
