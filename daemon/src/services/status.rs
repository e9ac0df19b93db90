//! The status and profile endpoints: the daemon, its configuration, and the state of every profile and source.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{
    ConstraintDetails, DaemonStatus, MfaDetails, ProfileDetails, ProfileInputs, ProfileName, ProfileState,
    ProfileStatus, Status,
};

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_sessions::ProfileSessions;
use super::source_logins::SourceLogins;
use crate::audit_log::AuditLog;
use rolecall_core::clock::Clock;
use rolecall_core::config::Origin;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::constraints::Constraints;
use rolecall_core::profile::Profile;

/// What the daemon reports about itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The path of its socket.
    pub socket: String,
    /// The path of its log, if that is a file.
    pub log: Option<String>,
    /// How often it has restarted without stopping.
    pub restarts: u32,
}

/// Reports what the agent knows. Never calls AWS.
pub struct StatusService {
    about: About,
    started: SystemTime,
    started_after_boot: Duration,
    clock: Clock,
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    source_logins: Arc<SourceLogins>,
    profile_sessions: Arc<ProfileSessions>,
    audit_log: AuditLog,
}

impl StatusService {
    pub(crate) fn new(
        about: About,
        clock: Clock,
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        source_logins: Arc<SourceLogins>,
        profile_sessions: Arc<ProfileSessions>,
        audit_log: AuditLog,
    ) -> Self {
        let (started, started_after_boot) = (clock.now(), clock.elapsed());
        Self { about, started, started_after_boot, clock, config, lock, source_logins, profile_sessions, audit_log }
    }

    /// Returns the status of the daemon, its configuration, and every profile and source.
    #[must_use]
    pub fn status(&self) -> Status {
        let lock = self.lock.status();
        let config = self.config.active();
        Status {
            daemon: DaemonStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: rolecall_protocol::PROTOCOL_VERSION,
                pid: std::process::id(),
                started: self.clock.stamp(self.started),
                started_after_boot: Some(self.started_after_boot.as_secs()),
                restarts: self.about.restarts,
                socket: self.about.socket.clone(),
                log: self.about.log.clone(),
                audit: self.audit_log.status(),
                clock: self.clock.status(),
                lock,
            },
            config: self.config.config_status(),
            profiles: config.profiles.values().map(|profile| self.profile_status(profile)).collect(),
            sources: config
                .sources
                .iter()
                .map(|(name, source)| self.source_logins.source_status(&config.profiles, name, source))
                .collect(),
        }
    }

    /// Returns the status of each profile that has a session or a problem: those of 10,000 profiles take megabytes.
    #[must_use]
    pub fn used_profiles(&self) -> Vec<ProfileStatus> {
        let profiles = self.config.profiles();
        let all = profiles.values().map(|profile| self.profile_status(profile));
        all.filter(|status| status.state != ProfileState::Unused).collect()
    }

    /// Reads from AWS's own files which login each source depends on, so that the status has it.
    pub async fn resolve_sources(&self) {
        self.source_logins.resolve_sources().await;
    }

    /// Returns a profile's configuration and state.
    pub fn profile(&self, name: &ProfileName) -> Result<ProfileDetails, AgentError> {
        let profile = self.config.profile(name)?;
        Ok(ProfileDetails {
            status: self.profile_status(&profile),
            source_kind: profile.chain.source.describe(),
            role_chain: profile.chain.steps.iter().map(|step| step.role.clone()).collect(),
            session_name: profile.chain.steps.last().map(|step| step.session_name.to_string()),
            duration_seconds: profile.duration.as_secs(),
            limit_seconds: profile.duration_limit().as_ref().map(Duration::as_secs),
            mfa: self.mfa_details(&profile),
            pin: Some(profile.pin_mode.as_str().to_owned()),
            has_entry_key: profile.entry_key.is_some(),
            tokens_only: profile.tokens_only,
            constraints: profile.constraints.as_ref().map(|constraints| self.constraint_details(&profile, constraints)),
            server: profile.pin.as_ref().map(|pin| pin.server.clone()),
            ca_sha256: profile.pin.as_ref().and_then(|pin| pin.ca_sha256.clone()),
            inputs: inputs_of(&profile),
        })
    }

    /// Returns the state of a profile and the included file that it comes from.
    fn profile_status(&self, profile: &Profile) -> ProfileStatus {
        let mut status = self.profile_sessions.status(profile);
        match self.config.active().origins.profiles.get(&profile.name) {
            Some(Origin::Included(path)) => status.included_from = Some(path.display().to_string()),
            Some(Origin::Overrides(path)) => status.overrides = Some(path.display().to_string()),
            None => {}
        }
        status
    }

    fn constraint_details(&self, profile: &Profile, constraints: &Constraints) -> ConstraintDetails {
        let Constraints { max_lifetime, confirm, allowed_programs, allowed_hours } = constraints;
        let opened = self.profile_sessions.approvals.opened_at(&profile.name);
        let usable_until = opened.zip(*max_lifetime).map(|(opened, limit)| self.clock.stamp(opened + limit));
        ConstraintDetails {
            max_lifetime_seconds: max_lifetime.as_ref().map(Duration::as_secs),
            usable_until,
            confirm: confirm.as_str().to_owned(),
            allowed_programs: allowed_programs.iter().flatten().map(|path| path.display().to_string()).collect(),
            allowed_hours: allowed_hours.as_ref().map(ToString::to_string),
        }
    }

    fn mfa_details(&self, profile: &Profile) -> Option<MfaDetails> {
        let chain = &profile.chain;
        let mfa_chain = self.profile_sessions.sessions.mfa_source(&chain.base())?;
        let mfa = mfa_chain.source.mfa.as_ref()?;
        let in_assume_role = self.profile_sessions.sessions.mfa_in_assume_role(chain);
        let length = if in_assume_role { profile.duration } else { mfa.session };
        Some(MfaDetails {
            serial: mfa.serial.clone(),
            in_assume_role,
            seconds: length.as_secs(),
            by_command: mfa.process.is_some(),
        })
    }
}

/// Returns the inputs of all steps of a profile together: each step has its own part.
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
