//! The agent: builds the services, and connects them to the events of the system.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::keyring::Keyring;
use crate::services::cluster::ClusterService;
use crate::services::cluster_access::ClusterAccessService;
use crate::services::config::{ConfigService, ReloadEffects, default_session_name};
use crate::services::events::EventService;
use crate::services::keys::KeyService;
use crate::services::lock::LockService;
use crate::services::login::LoginService;
use crate::services::login_expiry::LoginExpiry;
use crate::services::logout::LogoutService;
use crate::services::probe::ProbeService;
use crate::services::recovery::Recovery;
use crate::services::refresh::RefreshService;
use crate::services::renewal::Renewal;
use crate::services::snapshot::SnapshotService;
use crate::services::status::{About, ProfileStatuses, StatusService};
use crate::services::token::TokenService;
use crate::services::{EventBus, ProfileActivity, ProfileSessions, SourceLogins, TokenCache};
use crate::sessions::Sessions;
use crate::system_events;
use crate::watch;
use rolecall_aws::client::Aws;
use rolecall_core::clock::Clock;
use rolecall_core::profile::LocalUser;

/// Everything behind the socket: one service for each endpoint or group of endpoints.
#[allow(missing_docs)] // each type has its documentation
pub struct Agent {
    pub token: TokenService,
    pub refresh: RefreshService,
    pub cluster: ClusterService,
    pub cluster_access: ClusterAccessService,
    pub status: StatusService,
    pub events: Arc<EventService>,
    pub config: Arc<ConfigService>,
    pub probe: ProbeService,
    pub login: Arc<LoginService>,
    pub logout: LogoutService,
    pub keys: Arc<KeyService>,
    pub lock: Arc<LockService>,
    pub login_expiry: LoginExpiry,
    pub renewal: Arc<Renewal>,
    pub recovery: Arc<Recovery>,
    pub snapshot: SnapshotService,
    aws: Aws,
}

/// What several services share.
struct Components {
    aws: Aws,
    clock: Clock,
    keyring: Keyring,
    sessions: Sessions,
    token_cache: Arc<TokenCache>,
    activity: Arc<ProfileActivity>,
    events: EventBus,
    renewal: Arc<Renewal>,
    lock: Arc<LockService>,
    config: Arc<ConfigService>,
}

impl Components {
    fn new(config: PathBuf, aws: Aws, user: LocalUser) -> Self {
        let clock = aws.clock().clone();
        let keyring = Keyring::new(clock.clone());
        let sessions = Sessions::new(aws.clone(), keyring.clone(), default_session_name(&user));
        let token_cache = Arc::new(TokenCache::default());
        let activity = Arc::new(ProfileActivity::default());
        let events = EventBus::default();
        let renewal = Arc::new(Renewal::new(sessions.clone(), clock.clone()));
        let lock = Arc::new(LockService::new(
            clock.clone(),
            sessions.clone(),
            token_cache.clone(),
            renewal.clone(),
            events.clone(),
        ));
        let effects = ReloadEffects {
            aws: aws.clone(),
            lock: lock.clone(),
            sessions: sessions.clone(),
            token_cache: token_cache.clone(),
            activity: activity.clone(),
            renewal: renewal.clone(),
            events: events.clone(),
        };
        let config = Arc::new(ConfigService::open(config, user, effects));
        Self { aws, clock, keyring, sessions, token_cache, activity, events, renewal, lock, config }
    }
}

impl Agent {
    /// Creates an agent with the configuration at `config`.
    #[must_use]
    pub fn new(config: PathBuf, aws: Aws, user: LocalUser, about: About) -> Arc<Self> {
        let shared = Components::new(config, aws, user);
        let sessions = || shared.sessions.clone();
        let (config, lock, renewal) = (|| shared.config.clone(), || shared.lock.clone(), || shared.renewal.clone());
        let (activity, events, clock) = (|| shared.activity.clone(), || shared.events.clone(), || shared.clock.clone());
        let (keyring, aws) = (|| shared.keyring.clone(), || shared.aws.clone());

        let recovery = Arc::new(Recovery::new(lock(), sessions(), renewal(), events()));
        let logins = Arc::new(SourceLogins::new(config(), sessions(), activity(), clock()));
        let loader = Arc::new(ProfileSessions::new(sessions(), activity(), renewal(), clock()));
        let profiles = ProfileStatuses::new(sessions(), activity(), renewal(), clock());
        let cache = shared.token_cache.clone();
        Arc::new(Self {
            token: TokenService::new(config(), lock(), loader.clone(), cache.clone(), activity(), events(), clock()),
            refresh: RefreshService::new(config(), lock(), loader.clone(), clock()),
            cluster: ClusterService::new(config(), lock(), sessions(), loader),
            cluster_access: ClusterAccessService::new(
                config(),
                lock(),
                sessions(),
                cache.clone(),
                activity(),
                events(),
                aws(),
            ),
            status: StatusService::new(about, clock(), config(), lock(), sessions(), logins.clone(), profiles),
            events: Arc::new(EventService::new(config(), sessions(), renewal(), events(), clock())),
            probe: ProbeService::new(config(), lock(), sessions(), keyring(), aws()),
            login: Arc::new(LoginService::new(
                config(),
                lock(),
                sessions(),
                keyring(),
                logins.clone(),
                recovery.clone(),
                clock(),
            )),
            logout: LogoutService::new(config(), sessions(), cache, recovery.clone()),
            keys: Arc::new(KeyService::new(config(), lock(), keyring(), recovery.clone(), aws())),
            login_expiry: LoginExpiry::new(config(), lock(), sessions(), activity(), logins, events(), clock()),
            snapshot: SnapshotService::new(config(), lock(), sessions(), activity(), renewal(), clock()),
            recovery,
            config: shared.config,
            lock: shared.lock,
            renewal: shared.renewal,
            aws: shared.aws,
        })
    }

    /// Reacts to what changes outside of requests, until `stop`: the configuration, AWS's own files, the system, the time.
    pub async fn follow(&self, stop: CancellationToken) {
        tokio::join!(
            watch::follow(|| self.config.folders(), stop.clone(), || self.config.reload()),
            watch::aws_files::follow(self.aws.files(), stop.clone(), || self.recovery.sources_changed()),
            system_events::follow(stop.clone(), || self.recovery.system_changed()),
            self.lock.auto_lock(stop),
        );
    }

    /// Returns how many STS calls wait for the rate limit.
    #[must_use]
    pub fn waiting_sts_calls(&self) -> usize {
        self.aws.limits().waiting()
    }
}
