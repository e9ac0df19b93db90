//! The agent: builds the services, and connects them to the events of the system.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::keyring::Keyring;
use crate::services::cluster::ClusterService;
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
use rolecall_core::profile::LocalUser;

/// Everything behind the socket: one service for each endpoint or group of endpoints.
#[allow(missing_docs)] // each type has its documentation
pub struct Agent {
    pub token: TokenService,
    pub refresh: RefreshService,
    pub cluster: ClusterService,
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

impl Agent {
    /// Creates an agent with the configuration at `config`.
    #[must_use]
    pub fn new(config: PathBuf, aws: Aws, user: LocalUser, about: About) -> Arc<Self> {
        let clock = aws.clock().clone();
        let keyring = Keyring::new(clock.clone());
        let sessions = Sessions::new(aws.clone(), keyring.clone(), default_session_name(&user));
        let token_cache = Arc::new(TokenCache::default());
        let activity = Arc::new(ProfileActivity::default());
        let event_bus = EventBus::default();
        let renewal = Arc::new(Renewal::new(sessions.clone(), clock.clone()));
        let lock = Arc::new(LockService::new(
            clock.clone(),
            sessions.clone(),
            token_cache.clone(),
            renewal.clone(),
            event_bus.clone(),
        ));
        let effects = ReloadEffects {
            aws: aws.clone(),
            lock: lock.clone(),
            sessions: sessions.clone(),
            token_cache: token_cache.clone(),
            activity: activity.clone(),
            renewal: renewal.clone(),
            events: event_bus.clone(),
        };
        let config = Arc::new(ConfigService::open(config, user, effects));
        let recovery = Arc::new(Recovery::new(lock.clone(), sessions.clone(), renewal.clone(), event_bus.clone()));
        let profile_sessions =
            Arc::new(ProfileSessions::new(sessions.clone(), activity.clone(), renewal.clone(), clock.clone()));
        let source_logins =
            Arc::new(SourceLogins::new(config.clone(), sessions.clone(), activity.clone(), clock.clone()));
        Arc::new(Self {
            token: TokenService::new(
                config.clone(),
                lock.clone(),
                profile_sessions.clone(),
                token_cache.clone(),
                activity.clone(),
                clock.clone(),
            ),
            refresh: RefreshService::new(config.clone(), lock.clone(), profile_sessions.clone(), clock.clone()),
            cluster: ClusterService::new(config.clone(), lock.clone(), sessions.clone(), profile_sessions),
            status: StatusService::new(
                about,
                clock.clone(),
                config.clone(),
                lock.clone(),
                sessions.clone(),
                source_logins.clone(),
                ProfileStatuses::new(sessions.clone(), activity.clone(), renewal.clone(), clock.clone()),
            ),
            events: Arc::new(EventService::new(
                config.clone(),
                sessions.clone(),
                renewal.clone(),
                event_bus.clone(),
                clock.clone(),
            )),
            probe: ProbeService::new(config.clone(), lock.clone(), sessions.clone(), keyring.clone(), aws.clone()),
            login: Arc::new(LoginService::new(
                config.clone(),
                lock.clone(),
                sessions.clone(),
                keyring.clone(),
                source_logins.clone(),
                recovery.clone(),
                clock.clone(),
            )),
            logout: LogoutService::new(config.clone(), sessions.clone(), token_cache, recovery.clone()),
            keys: Arc::new(KeyService::new(config.clone(), lock.clone(), keyring, recovery.clone(), aws.clone())),
            login_expiry: LoginExpiry::new(
                config.clone(),
                lock.clone(),
                sessions.clone(),
                activity.clone(),
                source_logins,
                event_bus,
                clock.clone(),
            ),
            snapshot: SnapshotService::new(config.clone(), lock.clone(), sessions, activity, renewal.clone(), clock),
            config,
            lock,
            renewal,
            recovery,
            aws,
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
