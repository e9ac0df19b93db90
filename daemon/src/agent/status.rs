//! What the agent tells about itself, for people who ask.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{
    ConfigStatus, DaemonStatus, ErrorClass, LoginKind, LoginStatus, MfaDetails, Problem, ProfileDetails, ProfileInputs,
    ProfileName, ProfileState, ProfileStatus, SourceName, SourceStatus, Status,
};

use super::{Agent, AgentError, Profiles};
use rolecall_aws::source::Login;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

impl Agent {
    /// The daemon, its configuration, and every profile.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock_if_due();
        let clock = self.aws.clock();
        let made = Arc::clone(&self.config.current().made);
        Status {
            daemon: DaemonStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: rolecall_protocol::PROTOCOL_VERSION,
                pid: std::process::id(),
                started: clock.stamp(self.started),
                restarts: self.about.restarts,
                socket: self.about.socket.clone(),
                log: self.about.log.clone(),
                clock: clock.status(),
                lock: self.lock.status(),
            },
            config: self.config_status(),
            profiles: made.profiles.values().map(|profile| self.status_of(profile)).collect(),
            sources: made
                .sources
                .iter()
                .map(|(name, source)| self.status_of_source(&made.profiles, name, source))
                .collect(),
        }
    }

    /// Looks up what is not known of the sources yet, as far as AWS's own files tell it.
    pub async fn study(&self) {
        let made = Arc::clone(&self.config.current().made);
        for (name, source) in made.sources.iter() {
            self.sessions.resolve_from_files(&Self::base_of(&made.profiles, name, source)).await;
        }
    }

    /// What is configured and known of a profile.
    pub fn details(&self, name: &ProfileName) -> Result<ProfileDetails, AgentError> {
        let profile = self.profile(name)?;
        Ok(ProfileDetails {
            status: self.status_of(&profile),
            source_kind: profile.chain.source.describe(),
            role_chain: profile.chain.steps.iter().map(|step| step.role.clone()).collect(),
            session_name: profile.chain.steps.last().map(|step| step.session_name.to_string()),
            duration_seconds: profile.duration.as_secs(),
            limit_seconds: profile.duration_limit().as_ref().map(Duration::as_secs),
            mfa: self.mfa_of(&profile),
            server: profile.pin.as_ref().map(|pin| pin.server.clone()),
            ca_sha256: profile.pin.as_ref().and_then(|pin| pin.ca_sha256.clone()),
            inputs: inputs_of(&profile),
        })
    }

    /// The configuration in force, and what is wrong with the file.
    #[must_use]
    pub fn config_status(&self) -> ConfigStatus {
        let (clock, in_force) = (self.aws.clock(), self.config.current());
        ConfigStatus {
            path: self.config.path().display().to_string(),
            loaded: in_force.loaded.map(|loaded| clock.stamp(loaded)),
            problem: in_force.problem.as_ref().map(|(error, since)| Problem {
                since: clock.stamp(*since),
                class: ErrorClass::Change,
                retry: None,
                error: error.body(),
            }),
        }
    }

    fn mfa_of(&self, profile: &Profile) -> Option<MfaDetails> {
        let chain = &profile.chain;
        let coded = self.sessions.mfa_source(&chain.base())?;
        let mfa = coded.source.mfa.as_ref()?;
        let in_assume_role = self.sessions.mfa_in_assume_role(chain);
        let length = if in_assume_role { profile.duration } else { mfa.session };
        Some(MfaDetails {
            serial: mfa.serial.clone(),
            in_assume_role,
            seconds: length.as_secs(),
            by_command: mfa.process.is_some(),
        })
    }

    /// A source, the login that it depends on, and what is wrong with it.
    pub(super) fn status_of_source(
        &self,
        profiles: &Profiles,
        name: &SourceName,
        source: &SourceConfig,
    ) -> SourceStatus {
        let clock = self.aws.clock();
        let base = Self::base_of(profiles, name, source);
        let known = self.sessions.peek(&base);
        let login = self.login_status(&base);
        let problem = known.last_failure.map(|last_failure| Problem {
            since: clock.stamp(last_failure.since),
            class: last_failure.error.class(),
            retry: None,
            error: last_failure.error.body(name),
        });
        let warning = self.warning_of(profiles, name, source, login.as_ref());
        SourceStatus { name: name.clone(), kind: source.describe(), login, problem, warning }
    }

    /// The login that a source depends on.
    pub(super) fn login_status(&self, base: &RoleChain) -> Option<LoginStatus> {
        let clock = self.aws.clock();
        match self.sessions.login_of(base) {
            Some(Login::Sso(session)) => {
                // Nobody is logged in.
                let none = LoginStatus { kind: LoginKind::Sso, ends: None, renews: false };
                Some(self.sessions.sources().aws_profiles().sso().status(&session).unwrap_or(none))
            }
            Some(Login::Keyring(_)) => Some(LoginStatus { kind: LoginKind::Keyring, ends: None, renews: false }),
            Some(Login::Aws { .. }) => Some(LoginStatus { kind: LoginKind::AwsLogin, ends: None, renews: true }),
            None => self.sessions.mfa_source(base).map(|coded| LoginStatus {
                kind: LoginKind::Mfa,
                ends: self
                    .sessions
                    .peek(&coded)
                    .session
                    .filter(|session| session.is_usable(self.now()))
                    .and_then(|session| session.expires())
                    .map(|end| clock.stamp(end)),
                renews: coded.source.mfa.as_ref().is_some_and(|mfa| mfa.process.is_some()),
            }),
        }
    }

    fn status_of(&self, profile: &Profile) -> ProfileStatus {
        let (now, clock) = (self.now(), self.aws.clock());
        let known = self.sessions.peek(&profile.chain);
        let entry = self.journal.of(&profile.name);
        // What has just been forgotten may still be planned: its engine is told, and looks when it is its turn.
        let plan = known.session.as_ref().and_then(|_| self.renewer.get()?.planned(&profile.chain));
        let planned = plan.map(|at| clock.stamp(at));
        let usable = known.session.as_ref().is_some_and(|session| session.is_usable(now));
        let class = known.last_failure.as_ref().map(|last_failure| last_failure.error.class());
        let state = match (class, usable) {
            (_, true) => ProfileState::Ready,
            (Some(ErrorClass::Login), false) => ProfileState::LoginNeeded,
            (Some(_), false) => ProfileState::Failed,
            (None, false) if known.session.is_some() => ProfileState::Expired,
            (None, false) => ProfileState::Unused,
        };
        let last_failure = known.last_failure.map(|last_failure| Problem {
            since: clock.stamp(last_failure.since),
            class: last_failure.error.class(),
            retry: planned,
            error: last_failure.error.body(&profile.source_name),
        });
        let beyond = entry.problem.map(|(error, since)| Problem {
            since: clock.stamp(since),
            class: ErrorClass::Change,
            retry: None,
            error,
        });
        ProfileStatus {
            name: profile.name.clone(),
            cluster: profile.cluster.clone(),
            region: profile.chain.region.clone(),
            source: profile.source_name.clone(),
            role_arn: profile.chain.steps.last().map(|step| step.role.clone()),
            state,
            session: known.session.filter(|_| usable).map(|session| session.status(clock)),
            next_renewal: planned,
            last_used: entry.used.map(|used| clock.stamp(used)),
            problem: last_failure.or(beyond),
        }
    }
}

/// What the steps are given, together: each is given its own part.
fn inputs_of(profile: &Profile) -> ProfileInputs {
    let EndpointVariant { fips, dual_stack } = profile.variant;
    let mut all = ProfileInputs { fips, dual_stack, ..ProfileInputs::default() };
    for inputs in profile.chain.steps.iter().filter_map(|step| step.inputs.as_deref()) {
        all.source_identity = all.source_identity.or_else(|| inputs.source_identity.as_ref().map(ToString::to_string));
        all.tags.extend(inputs.tags.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        all.transitive_tags.extend(inputs.transitive_tags.iter().map(ToString::to_string));
        all.policy_arns.extend(inputs.policy_arns.iter().map(ToString::to_string));
        all.policy = all.policy.or_else(|| inputs.policy.clone());
        all.sts_endpoint = all.sts_endpoint.or_else(|| inputs.sts.url.as_ref().map(ToString::to_string));
    }
    all
}
