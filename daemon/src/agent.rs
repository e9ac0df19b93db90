//! The agent: what the server asks. It joins configuration, sessions and tokens, and knows nothing of HTTP.

mod error;
mod events;
mod keys;
mod lock;
mod login;
mod login_expiry;
mod logout;
mod probe;
mod profile_activity;
mod snapshot;
mod status;
mod token_cache;
mod unauthorized;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{
    Cluster, ConfigChecked, ErrorBody, ErrorCode, EventKind, ExecCredential, ExecInfo, ProfileName, Refreshed, Secret,
    SourceName, similar_names,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use error::AgentError;
pub use events::Events;
use keys::Changing;
pub use lock::Locker;
use profile_activity::ProfileActivity;
pub use snapshot::KeepError;
use token_cache::Tokens;
pub use unauthorized::ClientProcess;
use unauthorized::{TokenPolicy, UnauthorizedDetector};

use crate::config_store::{ConfigStore, Reload};
use crate::keyring::Keyring;
use crate::pin;
use crate::renew::Renewer;
use crate::sessions::{Freshness, Served, Sessions};
use crate::system_events;
use crate::watch;
use rolecall_aws::client::Aws;
use rolecall_aws::token::Token;
use rolecall_core::clock::time_until;
use rolecall_core::config::LockTimes;
use rolecall_core::config::network::Network;
use rolecall_core::config::notifications::Notifications;
use rolecall_core::config::{Config, DEFAULT_SESSION_NAME, NameTemplate, SourceConfig};
use rolecall_core::lock::Lock;
use rolecall_core::profile::{LocalUser, Profile};
use rolecall_core::role_chain::RoleChain;

/// How often the renewal engine is told that a profile is in use.
const NOTE_EVERY: Duration = Duration::from_mins(1);
/// How long a session that replaces another on suspicion is waited for.
const SUSPICION: Duration = Duration::from_secs(2);
/// Events that a watcher may be behind.
const EVENTS: usize = 64;

/// What the daemon tells about itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Where it listens.
    pub socket: String,
    /// Where it logs, if that is a file.
    pub log: Option<String>,
    /// How often the process has run its program anew.
    pub restarts: u32,
}

/// Everything behind the socket.
pub struct Agent {
    about: About,
    person: LocalUser,
    config: ConfigStore<ResolvedConfig>,
    lock: Lock,
    sessions: Sessions,
    tokens: Tokens,
    unauthorized: UnauthorizedDetector,
    journal: ProfileActivity,
    renewer: OnceLock<Renewer>,
    general: broadcast::Sender<EventKind>,
    started: SystemTime,
    aws: Aws,
    keyring: Keyring,
    changing_keys: Changing,
}

/// The profiles of a configuration, resolved once rather than at each request.
type Profiles = BTreeMap<ProfileName, Arc<Profile>>;

/// What is made of a configuration.
#[derive(Debug, PartialEq)]
struct ResolvedConfig {
    profiles: Arc<Profiles>,
    sources: Arc<BTreeMap<SourceName, SourceConfig>>,
    network: Arc<Network>,
    lock: LockTimes,
    notifications: Notifications,
}

impl Agent {
    /// An agent that goes by the configuration at `config`.
    #[must_use]
    pub fn new(config: PathBuf, aws: Aws, person: LocalUser, about: About) -> Arc<Self> {
        let started = aws.now();
        let (resolver, name) = (person.clone(), usual_name(&person));
        let config = ConfigStore::open(config, aws.clock().clone(), move |config| resolve(config, &resolver));
        aws.set_network(&config.current().made.network);
        let keyring = Keyring::new(aws.clock().clone());
        let lock = Lock::new(aws.clock().clone());
        lock.configure(config.current().made.lock);
        Arc::new(Self {
            about,
            person,
            config,
            lock,
            sessions: Sessions::new(aws.clone(), keyring.clone(), name),
            tokens: Tokens::default(),
            unauthorized: UnauthorizedDetector::default(),
            journal: ProfileActivity::default(),
            renewer: OnceLock::new(),
            general: broadcast::channel(EVENTS).0,
            started,
            keyring,
            changing_keys: Changing::default(),
            aws,
        })
    }

    /// Renews sessions before anyone asks, until `stop`. Without this they are renewed when they are asked for.
    pub fn keep_warm(&self, stop: CancellationToken) -> &Renewer {
        self.renewer.get_or_init(|| Renewer::start(self.sessions.clone(), self.aws.clock().clone(), stop))
    }

    /// Where the configuration is.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.path()
    }

    /// Follows everything that changes without being asked, until `stop`: the configuration, AWS's own files, the machine.
    pub async fn follow(&self, stop: CancellationToken) {
        tokio::join!(
            watch::follow(|| self.config.folders(), stop.clone(), || self.reload()),
            watch::aws_files::follow(self.aws.files(), stop.clone(), || self.sources_changed()),
            system_events::follow(stop.clone(), || self.machine_changed()),
            self.lock_in_time(stop),
        );
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(self: &Arc<Self>) -> Events {
        Events::new(self)
    }

    /// A finished ExecCredential, as JSON. The client_process is the process that runs the plugin, as far as it is known.
    pub async fn token(
        &self,
        name: &ProfileName,
        info: &[u8],
        client_process: Option<ClientProcess>,
    ) -> Result<Secret<Vec<u8>>, AgentError> {
        let profile = self.profile(name)?;
        self.while_unlocked(name, self.credential(&profile, info, client_process)).await
    }

    async fn credential(
        &self,
        profile: &Arc<Profile>,
        info: &[u8],
        client_process: Option<ClientProcess>,
    ) -> Result<Secret<Vec<u8>>, AgentError> {
        let (name, begin) = (&profile.name, self.now());
        let info = ExecInfo::parse(info).map_err(|error| AgentError::exec_info(name, &error))?;
        if let (Some(pin), Some(cluster)) = (&profile.pin, &info.cluster) {
            pin::check(pin, cluster).map_err(|error| AgentError::pin(name, &error))?;
        }
        let policy = client_process
            .map_or(TokenPolicy::Token, |client_process| self.unauthorized.on_request(name, client_process, begin));
        let token = self.current_token(profile, policy).await?;
        if let Some(client_process) = client_process {
            // The end that client-go sees is in whole seconds.
            self.unauthorized.answered(name, client_process, self.now(), token.expires - Duration::from_secs(1));
        }
        let expires = self.aws.clock().stamp(token.expires);
        let credential = ExecCredential::new(info.api_version, token.token.expose().as_str(), expires);
        serde_json::to_vec(&credential).map(Secret::new).map_err(|_| AgentError::internal(name))
    }

    /// Assumes the role anew.
    pub async fn refresh(&self, name: &ProfileName) -> Result<Refreshed, AgentError> {
        let profile = self.profile(name)?;
        let served = self.while_unlocked(name, self.session(&profile, Freshness::BypassCache)).await?;
        Ok(Refreshed { session: served.session.status(self.aws.clock()) })
    }

    /// Describes the profile's cluster.
    pub async fn cluster(&self, name: &ProfileName) -> Result<Cluster, AgentError> {
        let profile = self.profile(name)?;
        let describe = async {
            let served = self.session(&profile, Freshness::Cached).await?;
            let described = self.sessions.describe(&profile.chain, &served.session, &profile.cluster).await;
            described.map_err(|error| AgentError::new(name, error.body()))
        };
        self.while_unlocked(name, Box::pin(describe)).await
    }

    /// Reads a configuration that may become the real one.
    pub async fn check(&self, text: String) -> Result<ConfigChecked, AgentError> {
        let config = self.candidate(text).await?;
        Ok(ConfigChecked { profiles: config.profiles.into_keys().collect() })
    }

    /// Reads the configuration again, and goes by what has changed.
    pub fn reload(&self) {
        match self.config.reload() {
            Reload::Same => {}
            Reload::Problem => self.tell(EventKind::Config),
            Reload::Changed(before) => self.configuration_changed(&before),
        }
    }

    /// The machine woke up, or its network changed: what failed there may work here.
    pub fn machine_changed(&self) {
        self.lock_if_due();
        self.sessions.clear_network_failures();
        self.try_again(EventKind::Machine);
    }

    /// AWS's own files were changed, by a login perhaps: what was refused before may be given now.
    pub fn sources_changed(&self) {
        self.sessions.aws_files_changed();
        self.try_again(EventKind::Plan);
    }

    /// Somebody logged in: what waited for that is tried again.
    fn logged_in(&self) {
        self.sessions.clear_login_failures();
        self.try_again(EventKind::Plan);
    }

    /// How many calls wait for their turn at STS.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.aws.limits().waiting()
    }

    fn try_again(&self, why: EventKind) {
        if let Some(renewer) = self.renewer.get() {
            renewer.failures_cleared();
        }
        self.tell(why);
    }

    /// Goes by the configuration in force: forgets what nobody asks for any more, and what went wrong with what was
    /// changed. Everything else stays as it is.
    fn configuration_changed(&self, before: &ResolvedConfig) {
        let made = Arc::clone(&self.config.current().made);
        let profiles = &made.profiles;
        self.lock.configure(made.lock);
        self.aws.set_network(&made.network);
        if made.network != before.network {
            self.sessions.clear_all_failures();
        }
        // What other services gave, a test's perhaps, is not what these would give.
        let is_as_good = made.network.endpoints.yield_same_credentials(&before.network.endpoints);
        let bases: Vec<RoleChain> =
            made.sources.iter().map(|(name, source)| Self::base_of(profiles, name, source)).collect();
        let wanted = profiles.values().map(|profile| &profile.chain).chain(&bases).filter(|_| is_as_good);
        self.sessions.retain(wanted);
        for (name, profile) in profiles.iter() {
            if before.profiles.get(name).is_none_or(|before| before != profile) {
                self.sessions.clear_failures(&profile.chain);
            }
        }
        self.tokens.retain(|name, made_for| profiles.get(name).is_some_and(|profile| profile == made_for));
        self.journal.retain(|name| profiles.contains_key(name));
        if let Some(renewer) = self.renewer.get() {
            renewer.config_changed();
        }
        self.tell(EventKind::Config);
    }

    fn tell(&self, happening: EventKind) {
        // Nobody watching is fine.
        drop(self.general.send(happening));
    }

    async fn current_token(&self, profile: &Arc<Profile>, policy: TokenPolicy) -> Result<Arc<Token>, AgentError> {
        let served = match policy {
            TokenPolicy::NewSession if self.unauthorized.may_force(&profile.chain, self.now()) => {
                tracing::info!(profile = %profile.name, "The cluster refuses its tokens, it seems; assuming the role anew");
                // On suspicion alone nobody waits long: there is a session that signs.
                match tokio::time::timeout(SUSPICION, self.session(profile, Freshness::Refresh)).await {
                    Ok(Ok(served)) => served,
                    Ok(Err(_)) | Err(_) => self.session(profile, Freshness::Cached).await?,
                }
            }
            _ => self.session(profile, Freshness::Cached).await?,
        };
        if let Some(problem) = &served.problem {
            tracing::debug!(profile = %profile.name, error = %problem, "Renewal failed; the session is used while it lasts");
        }
        let is_new = policy != TokenPolicy::Token;
        let minted = self.tokens.mint(profile, &served.session, self.now(), is_new).await;
        match &minted {
            Ok(_) => self.journal.went_well(&profile.name),
            Err(error) => self.journal.failed(&profile.name, error.body(), self.now()),
        }
        minted.map_err(|error| AgentError::new(&profile.name, error.body()))
    }

    /// Gets a session, and notes the use.
    async fn session(&self, profile: &Profile, freshness: Freshness) -> Result<Served, AgentError> {
        let name = &profile.name;
        let before = self.journal.used(name, self.now());
        match self.sessions.get(&profile.chain, freshness).await {
            Ok(served) => {
                if profile.chain.steps.is_empty() {
                    Box::pin(self.sessions.learn_time(&profile.chain, &served.session)).await;
                }
                // What has no end is not renewed.
                if served.session.expires().is_some() {
                    self.note_use(profile, before);
                }
                Ok(served)
            }
            Err(error) => {
                let body = error.body(&profile.source_name);
                tracing::debug!(profile = %name, code = %body.code, error = %error, "No session");
                Err(AgentError::new(name, body))
            }
        }
    }

    /// Tells the renewal engine of a use, but not of each: a minute more or less does not matter to it.
    fn note_use(&self, profile: &Profile, before: Option<SystemTime>) {
        let Some(renewer) = self.renewer.get() else { return };
        let recent = before.is_some_and(|before| time_until(before, self.now()) < NOTE_EVERY);
        if !recent || renewer.planned(&profile.chain).is_none() {
            renewer.used(&profile.chain, profile.keep_warm);
        }
    }

    fn profile(&self, name: &ProfileName) -> Result<Arc<Profile>, AgentError> {
        if let Some(profile) = self.known(name) {
            return Ok(profile);
        }
        // It may have been added this very moment, before the watch told us.
        self.reload();
        self.known(name).ok_or_else(|| {
            let profiles = self.profiles();
            self.unknown(name, profiles.keys().map(ProfileName::as_str))
        })
    }

    fn known(&self, name: &ProfileName) -> Option<Arc<Profile>> {
        self.profiles().get(name).cloned()
    }

    fn profiles(&self) -> Arc<Profiles> {
        Arc::clone(&self.config.current().made.profiles)
    }

    fn unknown<'a>(&self, name: &ProfileName, known: impl Iterator<Item = &'a str> + Clone) -> AgentError {
        let in_force = self.config.current();
        let is_empty = known.clone().next().is_none();
        let near = similar_names(name.as_str(), known);
        AgentError::unknown_profile(name, &near, is_empty, in_force.problem.as_ref().map(|(error, _)| error))
    }

    /// Reads a configuration that somebody sends: away from the threads that answer everybody else, since it may be large.
    async fn candidate(&self, text: String) -> Result<Config, AgentError> {
        let path = self.config.path().to_owned();
        let parsed = tokio::task::spawn_blocking(move || Config::parse(&path, &text)).await;
        match parsed {
            Ok(parsed) => parsed.map_err(|error| AgentError::config(&error)),
            Err(_) => Err(AgentError(ErrorBody::new(ErrorCode::Internal, "the configuration could not be read"))),
        }
    }

    fn now(&self) -> SystemTime {
        self.aws.now()
    }
}

/// What sessions are called if nobody says.
fn usual_name(person: &LocalUser) -> NameTemplate {
    NameTemplate::new(DEFAULT_SESSION_NAME, &person.user, &person.host, "")
}

fn resolve(config: &Config, person: &LocalUser) -> ResolvedConfig {
    let resolved = |name: &ProfileName| Some((name.clone(), Arc::new(Profile::find(config, name, person)?)));
    ResolvedConfig {
        profiles: Arc::new(config.profiles.keys().filter_map(resolved).collect()),
        sources: Arc::new(config.sources.clone()),
        network: Arc::clone(&config.network),
        lock: config.lock,
        notifications: config.notifications,
    }
}
