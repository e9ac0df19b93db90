//! What every call to AWS has in common: one HTTP client, short deadlines, no retries but our own, the injected clock,
//! AWS's own configuration files, and one way to tell what an error means.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::{Builder as EnvConfigFilesBuilder, EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::region::Region as SdkRegion;
use rolecall_protocol::{EndpointUrl, Region};

use crate::endpoints;
use crate::endpoints::{ActiveNetwork, EndpointUrls};
use crate::error::{AwsError, AwsErrorKind};
use crate::http;
use rolecall_core::circuit_breaker::CircuitBreakers;
use rolecall_core::clock::{Clock, SharedTimeSource};
use rolecall_core::config::SourceConfig;
use rolecall_core::config::network::{Network, NetworkPath, Service};
use rolecall_core::rate_limit::RateLimiter;
pub use rolecall_core::role_chain::StsEndpoint;

/// TCP and TLS to an endpoint (B12).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One attempt of one call, from the first byte to the last (B12).
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where AWS's own files are.
#[derive(Debug, Clone)]
pub struct AwsFiles {
    /// `~/.aws/config`, or what `AWS_CONFIG_FILE` says.
    pub config: PathBuf,
    /// `~/.aws/credentials`, or what `AWS_SHARED_CREDENTIALS_FILE` says.
    pub credentials: PathBuf,
    /// `~/.aws`, where logins are kept whatever those variables say.
    pub logins: PathBuf,
}

/// Makes clients of AWS.
#[derive(Debug, Clone)]
pub struct Aws {
    files: AwsFiles,
    active: Arc<ArcSwap<ActiveNetwork>>,
    limits: RateLimiter<StsEndpoint>,
    breakers: Arc<CircuitBreakers<StsEndpoint, AwsError>>,
    clock: Clock,
}

impl Aws {
    /// Clients that read those files and go by that clock.
    #[must_use]
    pub fn new(files: AwsFiles, clock: Clock) -> Self {
        let http = http::http_client(clock.clone(), &NetworkPath::default());
        Self::with_active_client(files, clock, http, false)
    }

    /// The same with another HTTP client.
    #[must_use]
    pub fn with_client(files: AwsFiles, clock: Clock, http: SharedHttpClient) -> Self {
        Self::with_active_client(files, clock, http, true)
    }

    fn with_active_client(files: AwsFiles, clock: Clock, http: SharedHttpClient, is_injected: bool) -> Self {
        let active = Arc::new(ArcSwap::from_pointee(ActiveNetwork { network: Arc::default(), http, is_injected }));
        Self { files, active, limits: RateLimiter::new(), breakers: Arc::default(), clock }
    }

    /// Goes by another configuration from the next call on: what is under way ends as it started_at. Failures on the old way
    /// say nothing of the new one.
    pub fn set_network(&self, network: &Arc<Network>) {
        if self.active.load().network != *network {
            self.active.store(Arc::new(self.active.load().for_network(network, &self.clock)));
            self.breakers.reset(|_| false);
        }
    }

    /// The same AWS reached in another way, for a trial: nothing that happens there says anything of this one's endpoints.
    #[must_use]
    pub fn with_network(&self, network: &Arc<Network>) -> Self {
        let active = Arc::new(ArcSwap::from_pointee(self.active.load().for_network(network, &self.clock)));
        Self { active, breakers: Arc::default(), ..self.clone() }
    }

    /// How AWS is reached now.
    #[must_use]
    pub fn network(&self) -> Arc<Network> {
        Arc::clone(&self.active.load().network)
    }

    /// The address that is configured for a service (`[endpoints]`). Clients made with [`Self::client_config`] have it.
    #[must_use]
    pub fn configured_endpoint(&self, service: Service) -> Option<EndpointUrl> {
        self.active.load().network.endpoints.get(service).cloned()
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// AWS's time, as far as it is known.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// How fast STS is called.
    #[must_use]
    pub const fn limits(&self) -> &RateLimiter<StsEndpoint> {
        &self.limits
    }

    /// Which endpoints are left alone.
    #[must_use]
    pub fn breakers(&self) -> &CircuitBreakers<StsEndpoint, AwsError> {
        &self.breakers
    }

    /// Whether an endpoint is not left alone just now; where somebody is finding out about it, that is waited for a moment.
    pub async fn check_breaker(&self, endpoint: &StsEndpoint) -> Result<(), AwsError> {
        self.breakers.acquire_when_closed(|breakers| breakers.peek(endpoint, self.now())).await.map_err(AwsError::from)
    }

    /// One call to a service of which we do not want too many: in its turn, in at most `patience` once it is that, and not
    /// at all while the endpoint only fails.
    pub async fn call<T, E>(
        &self,
        endpoint: &StsEndpoint,
        patience: Duration,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError>
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        self.check_breaker(endpoint).await?;
        let mut slot = self.limits.acquire_slot(endpoint).await;
        self.breakers.acquire_when_closed(|breakers| breakers.try_acquire(endpoint, self.now())).await?;
        slot.wait_for_token().await;
        let outcome = match tokio::time::timeout(patience, send).await {
            Ok(answer) => answer.map_err(|error| AwsError::from_sdk(&error)),
            Err(_) => Err(AwsError::new(AwsErrorKind::Unreachable, "no answer in time")),
        };
        match &outcome {
            // A network that is not there yet, seconds after waking up, says nothing of the endpoint.
            Err(error) if error.kind == AwsErrorKind::Unreachable && self.clock.is_waking() => {}
            Err(error) if error.kind.is_endpoint_failure() => {
                self.breakers.record_failure(endpoint, error.clone(), error.retry_after, self.now(), fastrand::f64());
            }
            _ => {
                self.breakers.record_success(endpoint);
                self.limits.record_success();
            }
        }
        outcome
    }

    /// Where AWS's own files are.
    #[must_use]
    pub const fn files(&self) -> &AwsFiles {
        &self.files
    }

    /// The address that a client made from this will call, if it is not the region's own.
    #[must_use]
    pub fn endpoint_url_of(config: &SdkConfig, service: Service) -> Option<String> {
        config.service_config()?.load_config(endpoints::endpoint_key(service)?)
    }

    /// AWS's own files, as far as they exist: the SDK takes a missing one that is named for an error, and none for a
    /// reason to panic.
    #[must_use]
    pub fn profile_files(&self) -> EnvConfigFiles {
        self.files_with_overrides("").build()
    }

    /// The same for the SDK's providers of an AWS profile's credentials, with the addresses of `[endpoints]` above those of
    /// the files: the profile's section `services`, if it has one, is given them.
    #[must_use]
    pub fn provider_files(&self, profile: &str, services: Option<&str>) -> EnvConfigFiles {
        match endpoints::overrides(&self.network().endpoints, profile, services) {
            Some(overrides) => self.files_with_overrides(&overrides).build(),
            None => self.profile_files(),
        }
    }

    fn files_with_overrides(&self, overrides: &str) -> EnvConfigFilesBuilder {
        let mut files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
        for (kind, path) in
            [(EnvConfigFileKind::Config, &self.files.config), (EnvConfigFileKind::Credentials, &self.files.credentials)]
        {
            // A FIFO would be read for ever.
            if path.is_file() {
                files = files.with_file(kind, path);
            }
        }
        files.with_contents(EnvConfigFileKind::Config, overrides)
    }

    /// What the SDK's credential providers need. They find the addresses of `[endpoints]` in [`Self::provider_files`].
    #[must_use]
    pub fn provider_config(&self, region: &Region) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(Some(SdkRegion::new(region.as_str().to_owned())))
            .with_behavior_version(Some(behavior_version()))
            .with_http_client(self.active.load().http.clone())
            .with_time_source(SharedTimeSource::new(self.clock.clone()))
            .with_timeout_config(timeouts())
    }

    /// What a client needs to call AWS in `region` with `credentials`, if it signs at all: at the address that `[endpoints]`
    /// has for the service, or the AWS profile (`endpoint_url`, `services`), or else at the region's own.
    pub async fn client_config(
        &self,
        source: &SourceConfig,
        region: &Region,
        credentials: impl Into<Option<Credentials>>,
    ) -> SdkConfig {
        let active = self.active.load_full();
        // Who has no profile has no settings there, "default"'s least of all.
        let files = if source.aws_profile().is_some() { self.profile_files() } else { no_files() };
        let loader = aws_config::defaults(behavior_version())
            .profile_files(files)
            .profile_name(source.aws_profile().unwrap_or("default"))
            .region(SdkRegion::new(region.as_str().to_owned()))
            .http_client(active.http.clone())
            .time_source(SharedTimeSource::new(self.clock.clone()))
            .retry_config(RetryConfig::disabled()) // one layer retries, and it is ours (B5)
            .disable_clock_skew_correction(true) // one clock is corrected, and it is ours (B9)
            .timeout_config(timeouts());
        let loader = match credentials.into() {
            Some(credentials) => loader.credentials_provider(credentials),
            None => loader.no_credentials(),
        };
        let from_files = loader.load().await;
        let addresses = EndpointUrls::new(&active.network, from_files.clone());
        from_files.into_builder().service_config(addresses).build()
    }
}

/// Named, so that an update of the SDK cannot change what it does.
pub(crate) fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// No configuration at all.
fn no_files() -> EnvConfigFiles {
    EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "").build()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build()
}
