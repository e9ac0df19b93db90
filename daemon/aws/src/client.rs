//! What all calls to AWS share: the HTTP client, timeouts, the clock, AWS's configuration files, and [`EndpointCalls`]. The
//! SDK's own retries are off.

use std::error::Error;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::region::Region as SdkRegion;
use rolecall_protocol::{Region, location};

use crate::endpoints;
use crate::endpoints::{ActiveNetwork, EndpointUrls};
use crate::error::{AwsError, AwsErrorKind};
use crate::http;
pub use crate::shared_config::AwsFiles;
use crate::shared_config::{LastValid, NetworkSettings, Reader, SettingsError};
use rolecall_core::circuit_breaker::CircuitBreakers;
use rolecall_core::clock::Clock;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::network::{CaBundle, Network, NetworkPath, Proxy, Service};
pub use rolecall_core::endpoint_calls::ATTEMPT_TIMEOUT;
use rolecall_core::endpoint_calls::{EndpointCalls, TotalTimeout};
use rolecall_core::rate_limit::RateLimiter;
pub use rolecall_core::role_chain::StsEndpoint;

/// The daemon's clock, as the SDK's source of time.
#[derive(Debug)]
struct SdkClock(Clock);

impl TimeSource for SdkClock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// The limit of the TCP and TLS handshakes (B12).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Creates clients for AWS. Clones share the network settings, the rate limit and the circuit breakers.
#[derive(Debug, Clone)]
pub struct Aws {
    reader: Arc<Reader>,
    last_valid: Arc<LastValid>,
    active: Arc<ArcSwap<ActiveNetwork>>,
    calls: EndpointCalls<StsEndpoint, AwsError>,
    clock: Clock,
}

impl Aws {
    /// Creates an `Aws` that reads these files and uses this clock.
    #[must_use]
    pub fn new(files: AwsFiles, clock: Clock) -> Self {
        let http = http::http_client(clock.clone(), &NetworkPath::default());
        Self::with_active_client(files, clock, http, false)
    }

    /// Like [`Self::new`], with another HTTP client.
    #[must_use]
    pub fn with_client(files: AwsFiles, clock: Clock, http: SharedHttpClient) -> Self {
        Self::with_active_client(files, clock, http, true)
    }

    fn with_active_client(files: AwsFiles, clock: Clock, http: SharedHttpClient, is_injected: bool) -> Self {
        let active = Arc::new(ArcSwap::from_pointee(ActiveNetwork::new(http, is_injected)));
        let calls = EndpointCalls::new(clock.clone());
        Self { reader: Arc::new(Reader::new(files)), last_valid: Arc::default(), active, calls, clock }
    }

    /// Uses other network settings from the next call on. Closes all circuit breakers, because failures on the old network
    /// path say nothing about the new one.
    pub fn set_network(&self, network: &Arc<Network>) {
        if self.active.load().network != *network {
            self.active.store(Arc::new(self.active.load().for_network(network, &self.clock)));
            self.breakers().reset(|_| false);
        }
    }

    /// Returns an `Aws` with other network settings and with circuit breakers of its own, for a trial.
    #[must_use]
    pub fn with_network(&self, network: &Arc<Network>) -> Self {
        let active = Arc::new(ArcSwap::from_pointee(self.active.load().for_network(network, &self.clock)));
        Self { active, calls: self.calls.with_own_breakers(), ..self.clone() }
    }

    /// The current network settings.
    #[must_use]
    pub fn network(&self) -> Arc<Network> {
        Arc::clone(&self.active.load().network)
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// AWS's time, by the last `Date` header of a response; this machine's time before the first.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The rate limit of calls to STS.
    #[must_use]
    pub const fn limits(&self) -> &RateLimiter<StsEndpoint> {
        self.calls.limits()
    }

    /// The circuit breakers of the endpoints.
    #[must_use]
    pub fn breakers(&self) -> &CircuitBreakers<StsEndpoint, AwsError> {
        self.calls.breakers()
    }

    /// Errors if the circuit breaker of an endpoint is open. Waits briefly for a probe that is under way.
    pub async fn check_breaker(&self, endpoint: &StsEndpoint) -> Result<(), AwsError> {
        self.calls.check_breaker(endpoint).await
    }

    /// Sends one call after the rate limit and the circuit breaker of its endpoint allow it. Errors if the circuit breaker is
    /// open, or with `Unreachable` if the call takes longer than `timeout`.
    pub async fn call<T, E>(
        &self,
        endpoint: &StsEndpoint,
        timeout: Duration,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError>
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let send = async { send.await.map_err(|error| AwsError::from_sdk(&error)) };
        self.calls.call(endpoint, timeout, send).await
    }

    /// Makes an attempt to call AWS, and again after transient errors ([`EndpointCalls::with_retries`]).
    pub(crate) async fn with_retries<T, F>(
        &self,
        endpoint: &StsEndpoint,
        timeout: &TotalTimeout,
        attempt: impl FnMut() -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        self.calls.with_retries(endpoint, timeout, attempt).await
    }

    /// The environment of the programs that give credentials and MFA codes.
    #[must_use]
    pub fn program_environment(&self) -> Vec<(OsString, OsString)> {
        let network = self.network();
        let proxy = network.path.proxy.as_ref().map(Proxy::for_programs);
        network.environment.of_program(location::shell_variables(), proxy)
    }

    /// The paths of AWS's own files.
    #[must_use]
    pub fn files(&self) -> &AwsFiles {
        self.reader.files()
    }

    /// Reads the content of AWS's own files.
    pub(crate) fn shared_config(&self) -> &Reader {
        &self.reader
    }

    /// The configured URL of a service; `None` if a client with this configuration calls the region's own endpoint.
    #[must_use]
    pub fn endpoint_url_of(config: &SdkConfig, service: Service) -> Option<String> {
        config.service_config()?.load_config(endpoints::endpoint_key(service)?)
    }

    /// The settings of an AWS profile for the path to AWS.
    pub(crate) async fn profile_network(&self, profile: &str) -> Result<Arc<NetworkSettings>, SettingsError> {
        self.last_valid.load(&self.reader, profile).await
    }

    /// The URL of a service, such as `signin`: that of `[endpoints]`, else that of the AWS profile.
    pub(crate) fn url_of(&self, profile: &Arc<NetworkSettings>, service: &str) -> Option<String> {
        EndpointUrls::new(&self.network(), profile).url_of(service)
    }

    fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(SdkClock(self.clock.clone()))
    }

    /// The configuration of the SDK's credential providers for an AWS profile. Errors with `Setting`.
    pub(crate) fn provider_config(
        &self,
        profile: &NetworkSettings,
        region: &Region,
    ) -> Result<ProviderConfig, AwsError> {
        self.check_region(region)?;
        let config = ProviderConfig::without_region()
            .with_region(Some(SdkRegion::new(region.as_str().to_owned())))
            .with_behavior_version(Some(behavior_version()))
            .with_http_client(self.http_client(profile)?)
            .with_time_source(self.time_source())
            .with_timeout_config(timeouts());
        Ok(config)
    }

    /// The configuration of a client for `region`. The URL of a service is the one of `[endpoints]`, else that of the AWS
    /// profile (`endpoint_url`, `services`), else the region's own. Errors if the settings of the AWS profile are unknown:
    /// the call must not go to another endpoint than the configured one.
    pub async fn client_config(
        &self,
        source: &SourceConfig,
        region: &Region,
        credentials: impl Into<Option<Credentials>>,
    ) -> Result<SdkConfig, AwsError> {
        let active = self.active.load_full();
        self.check_region(region)?;
        let profile = match source.aws_profile() {
            Some(name) => self.profile_network(name).await.map_err(|error| AwsError::of_settings(&error))?,
            // A source without an AWS profile must not get the settings of the profile "default".
            None => Arc::default(),
        };
        let http = self.http_client(&profile)?;
        let loader = aws_config::defaults(behavior_version())
            .profile_files(no_files())
            .region(SdkRegion::new(region.as_str().to_owned()))
            .http_client(http)
            .time_source(self.time_source())
            .retry_config(RetryConfig::disabled()) // Rolecall retries itself (B5)
            .disable_clock_skew_correction(true) // `Clock` has the corrected time (B9)
            .use_fips(profile.fips)
            .use_dual_stack(profile.dual_stack)
            .timeout_config(timeouts());
        let loader = match credentials.into() {
            Some(credentials) => loader.credentials_provider(credentials),
            None => loader.no_credentials(),
        };
        let urls = EndpointUrls::new(&active.network, &profile);
        Ok(loader.load().await.into_builder().service_config(urls).build())
    }

    /// Errors with `Setting` for a region of AWS's own files that is neither known nor allowed.
    fn check_region(&self, region: &Region) -> Result<(), AwsError> {
        self.network().check_region(region).map_err(|message| AwsError::new(AwsErrorKind::Setting, message))
    }

    /// The HTTP client for the calls of an AWS profile. A profile with `ca_bundle` has one of its own. Errors with `Setting` if
    /// that file cannot be used.
    fn http_client(&self, profile: &NetworkSettings) -> Result<SharedHttpClient, AwsError> {
        let active = self.active.load_full();
        let Some(path) = profile.ca_bundle.as_ref().filter(|_| !active.is_injected) else {
            return Ok(active.http.clone());
        };
        let failed = |message: String| {
            let message = format!("AWS profile \"{}\": ca_bundle: {message}", profile.profile());
            AwsError::new(AwsErrorKind::Setting, message)
        };
        if !path.is_absolute() {
            return Err(failed("must be an absolute path".to_owned()));
        }
        let bundle = CaBundle::read(path).map_err(failed)?;
        Ok(active.http_with_ca(bundle, &self.clock))
    }
}

/// A fixed version, so that an update of the SDK does not change its behavior.
pub(crate) fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// An empty set of files. The SDK must not read the user's files, because it parses them differently from the AWS CLI.
fn no_files() -> EnvConfigFiles {
    EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "").build()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build()
}
