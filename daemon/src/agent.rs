//! The agent: what the server asks. It joins configuration, sessions and tokens, and knows nothing of HTTP.

mod failure;
mod journal;
mod keep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use rolecall_protocol::{
    Cluster, ConfigChecked, ConfigStatus, DaemonStatus, ErrorBody, ErrorClass, ErrorCode, ExecCredential, ExecInfo,
    Probed, ProbedCluster, Problem, ProfileDetails, ProfileName, ProfileState, ProfileStatus, Refreshed, Secret,
    Status, near_misses,
};

pub use failure::AgentError;
use journal::Journal;
pub use keep::KeepError;

use crate::aws::Aws;
use crate::clock::{left, timestamp};
use crate::config::Config;
use crate::config::watch::{ConfigStore, InForce};
use crate::pin;
use crate::profile::{Person, Profile};
use crate::renew::Renewer;
use crate::session::Session;
use crate::sessions::{Served, Sessions, Want};
use crate::token::{self, Token};

/// For how long the same token is handed out (DESIGN 7): the API server caches by token, so a burst of kubectl costs it
/// one STS call.
const SAME_TOKEN: Duration = Duration::from_mins(5);

/// How often the renewal engine is told that a profile is in use.
const NOTE_EVERY: Duration = Duration::from_mins(1);

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
    person: Person,
    config: Arc<ConfigStore>,
    sessions: Sessions,
    tokens: Mutex<HashMap<ProfileName, Minted>>,
    journal: Journal,
    renewer: OnceLock<Renewer>,
    started: SystemTime,
    aws: Aws,
}

/// A token, by what it was made from.
struct Minted {
    token: Arc<Token>,
    session: Arc<Session>,
    profile: Profile,
    signed: SystemTime,
}

impl Agent {
    /// An agent that goes by this configuration and this clock.
    #[must_use]
    pub fn new(config: Arc<ConfigStore>, aws: Aws, person: Person, about: About) -> Arc<Self> {
        let started = aws.time().now();
        Arc::new(Self {
            about,
            person,
            config,
            sessions: Sessions::new(aws.clone()),
            tokens: Mutex::new(HashMap::new()),
            journal: Journal::default(),
            renewer: OnceLock::new(),
            started,
            aws,
        })
    }

    /// Renews sessions before anyone asks, until `stop`. Without this they are renewed when they are asked for.
    pub fn keep_warm(&self, stop: CancellationToken) -> &Renewer {
        self.renewer.get_or_init(|| Renewer::start(self.sessions.clone(), self.aws.time().clone(), stop))
    }

    /// The configuration, for whoever follows the file.
    #[must_use]
    pub fn config(&self) -> &Arc<ConfigStore> {
        &self.config
    }

    /// A finished ExecCredential, as JSON.
    pub async fn token(&self, name: &ProfileName, info: &[u8]) -> Result<Secret<Vec<u8>>, AgentError> {
        let profile = self.profile(name)?;
        let info = ExecInfo::parse(info).map_err(|error| AgentError::exec_info(name, &error))?;
        if let (Some(pin), Some(cluster)) = (&profile.pin, &info.cluster) {
            pin::check(pin, cluster).map_err(|error| AgentError::pin(name, &error))?;
        }
        let token = self.current_token(&profile).await?;
        let credential = ExecCredential::new(info.api_version, token.token.expose().as_str(), timestamp(token.expires));
        serde_json::to_vec(&credential).map(Secret::new).map_err(|_| AgentError::internal(name))
    }

    /// Assumes the role anew.
    pub async fn refresh(&self, name: &ProfileName) -> Result<Refreshed, AgentError> {
        let profile = self.profile(name)?;
        let served = self.session(&profile, Want::New).await?;
        Ok(Refreshed { session: served.session.status() })
    }

    /// Describes the profile's cluster.
    pub async fn cluster(&self, name: &ProfileName) -> Result<Cluster, AgentError> {
        let profile = self.profile(name)?;
        let served = self.session(&profile, Want::Fresh).await?;
        let described = self.sessions.describe(&profile.chain, &served.session, &profile.cluster).await;
        described.map_err(|error| AgentError::new(name, error.body()))
    }

    /// What is configured and known of a profile.
    pub fn details(&self, name: &ProfileName) -> Result<ProfileDetails, AgentError> {
        let profile = self.profile(name)?;
        Ok(ProfileDetails {
            status: self.status_of(&profile),
            source_kind: profile.chain.source.describe(),
            hops: profile.chain.hops.iter().map(|hop| hop.role.clone()).collect(),
            session_name: profile.chain.hops.last().map(|hop| hop.session_name.to_string()),
            duration_seconds: profile.duration.as_secs(),
            limit_seconds: profile.limit().as_ref().map(Duration::as_secs),
            server: profile.pin.as_ref().map(|pin| pin.server.clone()),
            ca_sha256: profile.pin.as_ref().and_then(|pin| pin.ca_sha256.clone()),
        })
    }

    /// Reads a configuration that may become the real one.
    pub async fn check(&self, text: String) -> Result<ConfigChecked, AgentError> {
        let config = self.candidate(text).await?;
        Ok(ConfigChecked { profiles: config.profiles.into_keys().collect() })
    }

    /// Tries a profile of a configuration that may become the real one: assumes its role and describes its cluster. The
    /// session is kept, so that the first kubectl afterwards finds it.
    pub async fn probe(&self, name: &ProfileName, text: String) -> Result<Probed, AgentError> {
        let config = self.candidate(text).await?;
        let profile = Profile::find(&config, name, &self.person).ok_or_else(|| self.unknown(name, &config))?;
        let served = self.sessions.get(&profile.chain, Want::New).await;
        let session = served.map_err(|error| AgentError::new(name, error.body(&profile.source_name)))?.session;
        let identified = self.sessions.identify(&profile.chain, &session).await;
        let arn = identified.map_err(|error| AgentError::new(name, error.body(&profile.source_name)))?;
        let cluster = match self.sessions.describe(&profile.chain, &session, &profile.cluster).await {
            Ok(cluster) => ProbedCluster::Cluster(cluster),
            Err(error) => ProbedCluster::ClusterProblem(error.body()),
        };
        let mut session = session.status();
        session.arn = Some(arn);
        Ok(Probed { session, cluster })
    }

    /// The daemon, its configuration, and every profile.
    #[must_use]
    pub fn status(&self) -> Status {
        let in_force = self.config.current();
        let profiles = in_force.config.profiles.keys();
        Status {
            daemon: DaemonStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: rolecall_protocol::PROTOCOL_VERSION,
                pid: std::process::id(),
                started: timestamp(self.started),
                restarts: self.about.restarts,
                socket: self.about.socket.clone(),
                log: self.about.log.clone(),
                clock: None,
            },
            config: self.config_status(&in_force),
            profiles: profiles
                .filter_map(|name| Profile::find(&in_force.config, name, &self.person))
                .map(|profile| self.status_of(&profile))
                .collect(),
        }
    }

    /// Reads the configuration again, and tells what is in force.
    pub fn reload(&self) -> ConfigStatus {
        if self.config.reload() {
            self.configuration_changed();
        }
        self.config_status(&self.config.current())
    }

    /// Forgets what the configuration no longer asks for.
    pub fn configuration_changed(&self) {
        let in_force = self.config.current();
        let profiles: HashMap<ProfileName, Profile> = in_force
            .config
            .profiles
            .keys()
            .filter_map(|name| Some((name.clone(), Profile::find(&in_force.config, name, &self.person)?)))
            .collect();
        self.sessions.retain(profiles.values().map(|profile| &profile.chain));
        self.tokens().retain(|name, minted| profiles.get(name) == Some(&minted.profile));
        self.journal.retain(|name| profiles.contains_key(name));
        if let Some(renewer) = self.renewer.get() {
            renewer.changed();
        }
    }

    async fn current_token(&self, profile: &Profile) -> Result<Arc<Token>, AgentError> {
        let Served { session, problem } = self.session(profile, Want::Fresh).await?;
        let now = self.now();
        if let Some(token) = self.same_token(profile, &session, now) {
            return Ok(token);
        }
        if let Some(problem) = problem {
            tracing::warn!(profile = %profile.name, error = %problem, "Renewal failed; the session is used while it lasts");
        }
        let minted = token::mint(&session, &profile.chain.region, &profile.cluster, now).await;
        let token = Arc::new(minted.map_err(|error| AgentError::new(&profile.name, error.body()))?);
        let mut tokens = self.tokens();
        // Somebody may have minted one meanwhile: everybody gets the first.
        if let Some(first) = tokens.get(&profile.name).and_then(|minted| minted.matching(profile, &session, now)) {
            return Ok(first);
        }
        let minted = Minted { token: Arc::clone(&token), session, profile: profile.clone(), signed: now };
        tokens.insert(profile.name.clone(), minted);
        Ok(token)
    }

    fn same_token(&self, profile: &Profile, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        self.tokens().get(&profile.name)?.matching(profile, session, now)
    }

    /// Gets a session, and notes how it went.
    async fn session(&self, profile: &Profile, want: Want) -> Result<Served, AgentError> {
        let name = &profile.name;
        let before = self.journal.used(name, self.now());
        match self.sessions.get(&profile.chain, want).await {
            Ok(served) => {
                let problem = served.problem.as_ref().map(|problem| problem.body(&profile.source_name));
                self.journal.went(name, problem, self.now());
                self.note_use(profile, before);
                Ok(served)
            }
            Err(error) => {
                let body = error.body(&profile.source_name);
                tracing::warn!(profile = %name, code = %body.code, error = %error, "No session");
                self.journal.went(name, Some(body.clone()), self.now());
                Err(AgentError::new(name, body))
            }
        }
    }

    /// Tells the renewal engine of a use, but not of each: a minute more or less does not matter to it.
    fn note_use(&self, profile: &Profile, before: Option<SystemTime>) {
        let Some(renewer) = self.renewer.get() else { return };
        let recent = before.is_some_and(|before| left(before, self.now()) < NOTE_EVERY);
        if !recent || renewer.planned(&profile.chain).is_none() {
            renewer.used(&profile.chain, profile.keep_warm);
        }
    }

    fn profile(&self, name: &ProfileName) -> Result<Profile, AgentError> {
        let find = || Profile::find(&self.config.current().config, name, &self.person);
        if let Some(profile) = find() {
            return Ok(profile);
        }
        // It may have been added this very moment, before the watch told us.
        self.reload();
        find().ok_or_else(|| self.unknown(name, &self.config.current().config))
    }

    fn unknown(&self, name: &ProfileName, config: &Config) -> AgentError {
        let known = config.profiles.keys().map(ProfileName::as_str);
        let near = near_misses(name.as_str(), known);
        let in_force = self.config.current();
        AgentError::unknown_profile(name, &near, config.profiles.is_empty(), in_force.problem.as_ref().map(|(e, _)| e))
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

    fn config_status(&self, in_force: &InForce) -> ConfigStatus {
        ConfigStatus {
            path: self.config.path().display().to_string(),
            loaded: in_force.loaded.map(timestamp),
            problem: in_force.problem.as_ref().map(|(error, since)| Problem {
                since: timestamp(*since),
                class: ErrorClass::Change,
                retry: None,
                error: error.body(),
            }),
        }
    }

    fn status_of(&self, profile: &Profile) -> ProfileStatus {
        let now = self.now();
        let session = self.sessions.peek(&profile.chain);
        let entry = self.journal.of(&profile.name);
        let usable = session.as_ref().is_some_and(|session| session.is_usable(now));
        let state = match (&entry.problem, usable) {
            (_, true) => ProfileState::Ready,
            (Some((problem, _)), false) if problem.code == ErrorCode::LoginNeeded => ProfileState::LoginNeeded,
            (Some(_), false) => ProfileState::Failed,
            (None, false) if session.is_some() => ProfileState::Expired,
            (None, false) => ProfileState::Unused,
        };
        ProfileStatus {
            name: profile.name.clone(),
            cluster: profile.cluster.clone(),
            region: profile.chain.region.clone(),
            source: profile.source_name.clone(),
            role_arn: profile.chain.hops.last().map(|hop| hop.role.clone()),
            state,
            session: session.filter(|_| usable).map(|session| session.status()),
            next_renewal: self.renewer.get().and_then(|renewer| renewer.planned(&profile.chain)).map(timestamp),
            last_used: entry.used.map(timestamp),
            problem: entry.problem.map(|(error, since)| Problem {
                since: timestamp(since),
                class: ErrorClass::default(),
                retry: None,
                error,
            }),
        }
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<ProfileName, Minted>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.aws.time().now()
    }
}

impl Minted {
    /// The token, if it is still the one to hand out: same configuration, same session, young enough.
    fn matching(&self, profile: &Profile, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        let age = now.duration_since(self.signed).ok()?;
        let same = self.session.signs_as(session) && self.profile == *profile;
        (same && age < SAME_TOKEN).then(|| Arc::clone(&self.token))
    }
}
