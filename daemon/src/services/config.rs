//! The active configuration: its profiles and sources, and what a reload changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolecall_protocol::{
    ConfigChecked, ConfigStatus, ErrorBody, ErrorClass, ErrorCode, EventKind, IncludeStatus, Problem, ProfileName,
    SourceName, location, similar_names,
};

use tokio::sync::Semaphore;

use super::approvals::Approvals;
use super::error::AgentError;
use super::event_bus::EventBus;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use super::token_cache::TokenCache;
use crate::audit_log::AuditLog;
use crate::config_store::{ActiveInclude, ConfigStore, Reload};
use crate::renew::Renewer;
use crate::sessions::Sessions;
use rolecall_aws::client::Aws;
use rolecall_core::config::LockRules;
use rolecall_core::config::include::{self, IncludeProblem};
use rolecall_core::config::network::Network;
use rolecall_core::config::notifications::Notifications;
use rolecall_core::config::{Config, ConfigError, DEFAULT_SESSION_NAME, NameTemplate, Origin, Origins, SourceConfig};
use rolecall_core::profile::{LocalUser, Profile};
use rolecall_core::role_chain::RoleChain;

/// The profiles of a configuration, resolved once rather than for each request.
pub(super) type Profiles = BTreeMap<ProfileName, Arc<Profile>>;

/// A configuration with resolved profiles.
#[derive(Debug, PartialEq)]
pub(super) struct ResolvedConfig {
    pub(super) profiles: Arc<Profiles>,
    pub(super) sources: Arc<BTreeMap<SourceName, SourceConfig>>,
    pub(super) origins: Origins,
    pub(super) network: Arc<Network>,
    pub(super) lock: LockRules,
    pub(super) notifications: Notifications,
    pub(super) audit_to_syslog: bool,
    pub(super) confirm_program: Option<PathBuf>,
}

/// Finds profiles and sources, and reloads the configuration.
pub struct ConfigService {
    store: ConfigStore<ResolvedConfig>,
    user: LocalUser,
    effects: ReloadEffects,
    /// Permits one draft to be parsed at a time.
    parsing: Arc<Semaphore>,
}

/// What a reload changes.
pub(crate) struct ReloadEffects {
    pub(crate) aws: Aws,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) token_cache: Arc<TokenCache>,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) renewer: Renewer,
    pub(crate) events: EventBus,
    pub(crate) audit_log: AuditLog,
    pub(crate) approvals: Arc<Approvals>,
}

impl ConfigService {
    /// Reads the configuration at `path` and applies it. An invalid one counts as empty, and its error is reported by
    /// [`Self::config_status`].
    pub(crate) fn open(path: PathBuf, user: LocalUser, effects: ReloadEffects) -> Self {
        let resolver = user.clone();
        let clock = effects.aws.clock().clone();
        // Without a home folder, `~` is the root folder.
        let home = location::home().unwrap_or_else(|_| "/".into());
        let store = ConfigStore::open(path, home, clock, move |config| resolve(config, &resolver));
        let config = store.active();
        effects.aws.set_network(&config.network);
        effects.lock.configure(config.lock);
        effects.audit_log.use_syslog(config.audit_to_syslog);
        Self { store, user, effects, parsing: Arc::new(Semaphore::new(1)) }
    }

    /// Returns the configuration's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Returns the folders in which a change may concern the configuration.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        self.store.folders()
    }

    /// Checks the text of a configuration without activating it. Errors with the line and the key that are wrong.
    pub async fn config_check(&self, text: String) -> Result<ConfigChecked, AgentError> {
        let (path, home, now) =
            (self.store.path().to_owned(), self.store.home().to_owned(), self.effects.aws.clock().now());
        let loaded = self.parse_with(move || include::parse(&path, &text, &home)).await?;
        let Origins { profiles: origins, .. } = &loaded.config.origins;
        let is_own = |name: &ProfileName| !matches!(origins.get(name), Some(Origin::Included(_)));
        let profiles = loaded.config.profiles.keys().filter(|name| is_own(name)).cloned().collect();
        let includes = loaded.includes.into_iter().map(|file| {
            let (loaded, problem_since) = (file.text.as_ref().map(|_| now), file.problem.as_ref().map(|_| now));
            self.include_status(&ActiveInclude { file, loaded, problem_since })
        });
        Ok(ConfigChecked { profiles, includes: includes.collect() })
    }

    /// Reads the configuration again and returns its status.
    pub async fn config_reload(self: &Arc<Self>) -> ConfigStatus {
        let config = Arc::clone(self);
        // After a panic, the last configuration is active.
        drop(tokio::task::spawn_blocking(move || config.reload()).await);
        self.config_status()
    }

    /// Reads the configuration again and applies what has changed.
    pub fn reload(&self) {
        match self.store.reload() {
            Reload::Same => {}
            Reload::Problem => self.effects.events.publish(EventKind::Config),
            Reload::Changed(before) => self.effects.apply(&before, &self.active()),
        }
    }

    /// Returns the active configuration's path and age, and the error of the file if it is invalid.
    #[must_use]
    pub fn config_status(&self) -> ConfigStatus {
        let (clock, current) = (self.effects.aws.clock(), self.store.current());
        ConfigStatus {
            path: self.store.path().display().to_string(),
            loaded: current.loaded.map(|loaded| clock.stamp(loaded)),
            problem: current.problem.as_ref().map(|(error, since)| Problem {
                since: clock.stamp(*since),
                class: ErrorClass::Change,
                retry: None,
                remembered_until: None,
                error: error.body(),
            }),
            includes: current.includes.iter().map(|include| self.include_status(include)).collect(),
        }
    }

    fn include_status(&self, include: &ActiveInclude) -> IncludeStatus {
        let ActiveInclude { file, loaded, problem_since } = include;
        let clock = self.effects.aws.clock();
        let problem = file.problem.as_ref().zip(*problem_since).map(|(problem, since)| Problem {
            since: clock.stamp(since),
            class: ErrorClass::Change,
            retry: None,
            remembered_until: None,
            error: include_problem(problem, file.text.is_some()),
        });
        let loaded = loaded.map(|loaded| clock.stamp(loaded));
        IncludeStatus { path: file.path.display().to_string(), profiles: file.profiles, loaded, problem }
    }

    /// Returns the path of the included file that has a source.
    pub(super) fn included_source(&self, name: &SourceName) -> Option<String> {
        match self.active().origins.sources.get(name)? {
            Origin::Included(path) => Some(path.display().to_string()),
            Origin::Overrides(_) => None,
        }
    }

    /// Returns the active configuration.
    pub(super) fn active(&self) -> Arc<ResolvedConfig> {
        self.store.active()
    }

    /// Returns all profiles.
    pub(super) fn profiles(&self) -> Arc<Profiles> {
        Arc::clone(&self.active().profiles)
    }

    /// Returns a profile of the active configuration.
    pub(super) fn known_profile(&self, name: &ProfileName) -> Option<Arc<Profile>> {
        self.active().profiles.get(name).cloned()
    }

    /// Returns a profile, after a reload if it is unknown: the file may have changed before the watch reported it.
    pub(super) fn profile(&self, name: &ProfileName) -> Result<Arc<Profile>, AgentError> {
        if let Some(profile) = self.known_profile(name) {
            return Ok(profile);
        }
        self.reload();
        self.known_profile(name).ok_or_else(|| {
            let profiles = self.profiles();
            self.unknown_profile(name, profiles.keys())
        })
    }

    /// Returns a source, after a reload if it is unknown.
    pub(super) fn source(&self, name: &SourceName) -> Result<SourceConfig, AgentError> {
        let find = || self.active().sources.get(name).cloned();
        if let Some(source) = find() {
            return Ok(source);
        }
        self.reload();
        find().ok_or_else(|| AgentError::unknown_source(name, self.active().sources.keys()))
    }

    /// Returns the template of session names for roles that the configuration does not name one for.
    pub(super) fn default_session_name(&self) -> NameTemplate {
        default_session_name(&self.user)
    }

    /// Parses a draft without its included files, and returns what `choose` takes of it. The rest of a large draft does not
    /// stay in memory.
    pub(super) async fn of_draft<T: Send + 'static>(
        &self,
        text: String,
        choose: impl FnOnce(&Config, &LocalUser) -> T + Send + 'static,
    ) -> Result<T, AgentError> {
        let (path, user) = (self.store.path().to_owned(), self.user.clone());
        self.parse_with(move || {
            let config = Config::parse(&path, &text)?;
            drop(text);
            Ok(choose(&config, &user))
        })
        .await
    }

    /// Parses a configuration in a thread for blocking work, since it may be large.
    async fn parse_with<C: Send + 'static>(
        &self,
        parse: impl FnOnce() -> Result<C, ConfigError> + Send + 'static,
    ) -> Result<C, AgentError> {
        // Parsing takes much more memory than the text, and goes on when the client has gone.
        let permit = Arc::clone(&self.parsing).acquire_owned().await;
        let parsed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            parse()
        });
        match parsed.await {
            Ok(parsed) => parsed.map_err(|error| AgentError::config(&error)),
            Err(_) => Err(AgentError(ErrorBody::new(ErrorCode::Internal, "cannot read the configuration"))),
        }
    }

    /// Returns the error for a profile that is not among `profiles`. If the file or an included one is invalid, the error is
    /// that of the file, which may well have the profile.
    pub(super) fn unknown_profile<'a>(
        &self,
        name: &ProfileName,
        profiles: impl Iterator<Item = &'a ProfileName>,
    ) -> AgentError {
        let profiles: Vec<&str> = profiles.map(ProfileName::as_str).collect();
        let current = self.store.current();
        let not_in_force = current.includes.iter().filter(|include| include.file.text.is_none());
        let of_include =
            not_in_force.filter_map(|include| include.file.problem.as_ref()).map(IncludeProblem::error).next();
        let problem = current.problem.as_ref().map(|(error, _)| error).or(of_include);
        let near = similar_names(name.as_str(), profiles.iter().copied());
        AgentError::unknown_profile(name, &near, profiles.is_empty(), problem)
    }
}

impl ReloadEffects {
    /// Applies a changed configuration: drops what no profile uses any more, and the failures of what changed.
    fn apply(&self, before: &ResolvedConfig, config: &ResolvedConfig) {
        let profiles = &config.profiles;
        self.lock.configure(config.lock);
        self.audit_log.use_syslog(config.audit_to_syslog);
        self.aws.set_network(&config.network);
        if config.network != before.network {
            self.sessions.clear_all_failures();
        }
        // Sessions of other endpoints, of a test for example, are not sessions of these.
        let has_same_endpoints = config.network.endpoints.yield_same_credentials(&before.network.endpoints);
        let bases: Vec<RoleChain> =
            config.sources.iter().map(|(name, source)| source_chain(profiles, name, source)).collect();
        let wanted = profiles.values().map(|profile| &profile.chain).chain(&bases).filter(|_| has_same_endpoints);
        self.sessions.retain(wanted);
        for (name, profile) in profiles.iter() {
            if before.profiles.get(name).is_none_or(|before| before != profile) {
                self.sessions.clear_failures(&profile.chain);
                self.activity.changed(name);
                self.approvals.changed(name);
            }
        }
        self.token_cache.retain(|name, cached| profiles.get(name).is_some_and(|profile| profile == cached));
        self.activity.retain(|name| profiles.contains_key(name));
        self.renewer.sessions_dropped();
        self.events.publish(EventKind::Config);
    }
}

/// Returns the error of an included file, with what is in force instead.
fn include_problem(problem: &IncludeProblem, has_text: bool) -> ErrorBody {
    let in_force = match problem {
        IncludeProblem::Entry(_) => "The rest of the file is in force.",
        IncludeProblem::Invalid(_) if has_text => "Its last valid content stays in force until this is fixed.",
        IncludeProblem::Invalid(_) => "None of its profiles is available until this is fixed.",
    };
    ErrorBody::new(ErrorCode::ConfigInvalid, problem.error().to_string()).hint(in_force)
}

/// Returns the chain of a source without role steps: that of its profiles if it has any, which adds their region.
pub(super) fn source_chain(profiles: &Profiles, name: &SourceName, source: &SourceConfig) -> RoleChain {
    let profile = profiles.values().find(|profile| profile.source_name == *name);
    profile.map_or_else(|| RoleChain::from_source(source.clone()), |profile| profile.chain.base())
}

/// Returns the template of session names for roles that the configuration does not name one for.
pub(crate) fn default_session_name(user: &LocalUser) -> NameTemplate {
    NameTemplate::new(DEFAULT_SESSION_NAME, &user.user, &user.host, "")
}

fn resolve(config: &Config, user: &LocalUser) -> ResolvedConfig {
    let resolved = |name: &ProfileName| Some((name.clone(), Arc::new(Profile::find(config, name, user)?)));
    ResolvedConfig {
        profiles: Arc::new(config.profiles.keys().filter_map(resolved).collect()),
        sources: Arc::new(config.sources.clone()),
        origins: config.origins.clone(),
        network: Arc::clone(&config.network),
        lock: config.lock,
        notifications: config.notifications,
        audit_to_syslog: config.audit_to_syslog,
        confirm_program: config.confirm_program.clone(),
    }
}
