//! The agent: builds the services, and connects them to the events of the system.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::audit_log::AuditLog;
use crate::keyring::Keyring;
use crate::renew::Renewer;
use crate::services::access::AccessService;
use crate::services::audit::AuditService;
use crate::services::cluster_access::ClusterAccessService;
use crate::services::config::{ConfigService, ReloadEffects, default_session_name};
use crate::services::constraints::ConstraintService;
use crate::services::credentials::CredentialService;
use crate::services::discover::DiscoverService;
use crate::services::doctor::{Components as DoctorComponents, DoctorService};
use crate::services::events::EventService;
use crate::services::keys::KeyService;
use crate::services::lock::LockService;
use crate::services::login::LoginService;
use crate::services::logout::LogoutService;
use crate::services::notices::NoticeService;
use crate::services::probe::ProbeService;
use crate::services::profile_sessions::ProfileSessions;
use crate::services::recovery::Recovery;
use crate::services::snapshot::SnapshotService;
use crate::services::status::{About, StatusService};
use crate::services::token::TokenService;
use crate::services::{Approvals, EventBus, ProfileActivity, SourceLogins, TokenCache};
use crate::sessions::Sessions;
use crate::system_events;
use crate::watch;
use rolecall_aws::client::Aws;
use rolecall_core::clock::Clock;
use rolecall_core::config::MAX_PROFILES;
use rolecall_core::profile::LocalUser;

/// Everything behind the socket: one service for each endpoint or group of endpoints.
#[allow(missing_docs)] // each type has its documentation
pub struct Agent {
    pub token: TokenService,
    pub credentials: CredentialService,
    pub audit: AuditService,
    pub profiles: Arc<ProfileSessions>,
    pub cluster_access: ClusterAccessService,
    pub access: Arc<AccessService>,
    pub constraints: Arc<ConstraintService>,
    pub doctor: Arc<DoctorService>,
    pub status: StatusService,
    pub events: Arc<EventService>,
    pub config: Arc<ConfigService>,
    pub probe: ProbeService,
    pub discover: Arc<DiscoverService>,
    pub login: Arc<LoginService>,
    pub logout: LogoutService,
    pub keys: Arc<KeyService>,
    pub lock: Arc<LockService>,
    pub notices: NoticeService,
    pub renewer: Renewer,
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
    renewer: Renewer,
    lock: Arc<LockService>,
    config: Arc<ConfigService>,
    audit_log: AuditLog,
    approvals: Arc<Approvals>,
}

impl Components {
    fn new(path: PathBuf, aws: Aws, user: LocalUser) -> Self {
        let clock = aws.clock().clone();
        let keyring = Keyring::new(clock.clone());
        let sessions = Sessions::new(aws.clone(), keyring.clone(), default_session_name(&user));
        let (token_cache, activity) = (Arc::<TokenCache>::default(), Arc::<ProfileActivity>::default());
        let (renewer, events) = (Renewer::new(sessions.clone(), clock.clone()), EventBus::default());
        let (audit_log, approvals) = (AuditLog::default(), Arc::new(Approvals::new(aws.clone())));
        let lock = Arc::new(LockService::new(
            clock.clone(),
            sessions.clone(),
            token_cache.clone(),
            renewer.clone(),
            events.clone(),
            audit_log.clone(),
            approvals.clone(),
        ));
        let effects = ReloadEffects {
            aws: aws.clone(),
            lock: lock.clone(),
            sessions: sessions.clone(),
            token_cache: token_cache.clone(),
            activity: activity.clone(),
            renewer: renewer.clone(),
            events: events.clone(),
            audit_log: audit_log.clone(),
            approvals: approvals.clone(),
        };
        let config = Arc::new(ConfigService::open(path, user, effects));
        Self {
            aws,
            clock,
            keyring,
            sessions,
            token_cache,
            activity,
            events,
            renewer,
            lock,
            config,
            audit_log,
            approvals,
        }
    }

    /// Returns the services that other services use.
    fn shared_services(&self) -> (Arc<Recovery>, Arc<SourceLogins>, Arc<ProfileSessions>) {
        let Self { config, sessions, activity, clock, lock, renewer, events, approvals, .. } = self;
        let recovery = Recovery {
            lock: lock.clone(),
            sessions: sessions.clone(),
            renewer: renewer.clone(),
            events: events.clone(),
        };
        let logins = SourceLogins {
            config: config.clone(),
            sessions: sessions.clone(),
            activity: activity.clone(),
            clock: clock.clone(),
        };
        let profiles = ProfileSessions {
            config: config.clone(),
            lock: lock.clone(),
            sessions: sessions.clone(),
            activity: activity.clone(),
            renewer: renewer.clone(),
            clock: clock.clone(),
            approvals: approvals.clone(),
        };
        (Arc::new(recovery), Arc::new(logins), Arc::new(profiles))
    }
}

impl Components {
    fn doctor(
        &self,
        source_logins: Arc<SourceLogins>,
        constraints: Arc<ConstraintService>,
        access: Arc<AccessService>,
    ) -> DoctorService {
        let components = DoctorComponents {
            config: self.config.clone(),
            sessions: self.sessions.clone(),
            activity: self.activity.clone(),
            events: self.events.clone(),
            source_logins,
            constraints,
            access,
            aws: self.aws.clone(),
        };
        DoctorService::new(self.lock.clone(), components)
    }

    fn snapshot(&self) -> SnapshotService {
        SnapshotService {
            config: self.config.clone(),
            lock: self.lock.clone(),
            sessions: self.sessions.clone(),
            activity: self.activity.clone(),
            renewer: self.renewer.clone(),
            clock: self.clock.clone(),
            approvals: self.approvals.clone(),
        }
    }
}

impl Agent {
    /// Creates an agent with the configuration at `path`.
    #[must_use]
    pub fn new(path: PathBuf, aws: Aws, user: LocalUser, about: About) -> Arc<Self> {
        let shared = Components::new(path, aws, user);
        let sessions = || shared.sessions.clone();
        let (config, lock, renewer) = (|| shared.config.clone(), || shared.lock.clone(), || shared.renewer.clone());
        let (activity, events, clock) = (|| shared.activity.clone(), || shared.events.clone(), || shared.clock.clone());
        let (keyring, aws, token_cache) =
            (|| shared.keyring.clone(), || shared.aws.clone(), || shared.token_cache.clone());

        let (recovery, logins, profiles) = shared.shared_services();
        let (source_logins, profile_sessions) = (|| logins.clone(), || profiles.clone());
        let constraints =
            Arc::new(ConstraintService { config: config(), approvals: shared.approvals.clone(), clock: clock() });
        let access = Arc::new(AccessService::new(config(), lock(), profile_sessions(), token_cache(), aws()));
        Arc::new(Self {
            token: TokenService::new(
                config(),
                lock(),
                profile_sessions(),
                token_cache(),
                activity(),
                events(),
                Arc::clone(&constraints),
            ),
            credentials: CredentialService {
                config: config(),
                lock: lock(),
                profile_sessions: profile_sessions(),
                constraints: Arc::clone(&constraints),
                clock: clock(),
            },
            audit: AuditService { config: config(), clock: clock(), log: shared.audit_log.clone() },
            cluster_access: ClusterAccessService::new(
                config(),
                lock(),
                sessions(),
                token_cache(),
                activity(),
                events(),
                aws(),
            ),
            doctor: Arc::new(shared.doctor(source_logins(), Arc::clone(&constraints), Arc::clone(&access))),
            access,
            constraints,
            status: StatusService::new(
                about,
                clock(),
                config(),
                lock(),
                source_logins(),
                profile_sessions(),
                shared.audit_log.clone(),
            ),
            events: Arc::new(EventService {
                config: config(),
                sessions: sessions(),
                renewer: renewer(),
                bus: events(),
                clock: clock(),
            }),
            probe: ProbeService {
                config: config(),
                lock: lock(),
                sessions: sessions(),
                keyring: keyring(),
                aws: aws(),
            },
            discover: Arc::new(DiscoverService { config: config(), lock: lock(), sessions: sessions(), aws: aws() }),
            login: Arc::new(LoginService {
                config: config(),
                lock: lock(),
                sessions: sessions(),
                keyring: keyring(),
                source_logins: source_logins(),
                recovery: recovery.clone(),
                clock: clock(),
                draft_profiles: Semaphore::new(MAX_PROFILES),
            }),
            logout: LogoutService {
                config: config(),
                sessions: sessions(),
                token_cache: token_cache(),
                recovery: recovery.clone(),
            },
            keys: Arc::new(KeyService::new(config(), lock(), keyring(), recovery.clone(), aws())),
            notices: NoticeService {
                config: config(),
                lock: lock(),
                sessions: sessions(),
                activity: activity(),
                source_logins: source_logins(),
                events: events(),
                clock: clock(),
            },
            snapshot: shared.snapshot(),
            profiles: profile_sessions(),
            recovery,
            config: shared.config,
            lock: shared.lock,
            renewer: shared.renewer,
            aws: shared.aws,
        })
    }

    /// Reacts to what changes outside of requests, until `stop`: the configuration, AWS's own files, the system, the time.
    pub async fn follow(&self, stop: CancellationToken) {
        let (folders, config, recovery) =
            (Arc::clone(&self.config), Arc::clone(&self.config), Arc::clone(&self.recovery));
        tokio::join!(
            watch::follow(move || folders.folders(), stop.clone(), move || config.reload()),
            watch::aws_files::follow(self.aws.files().clone(), stop.clone(), move || recovery.sources_changed()),
            system_events::follow(stop.clone(), || self.recovery.system_changed()),
            self.lock.follow_desktop(stop.clone()),
            self.lock.auto_lock(stop),
        );
    }

    /// Returns how many STS calls wait for the rate limit.
    #[must_use]
    pub fn waiting_sts_calls(&self) -> usize {
        self.aws.limits().waiting()
    }
}
