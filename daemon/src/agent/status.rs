//! What the agent tells about itself, for people who ask.

use std::time::Duration;

use rolecall_protocol::{
    ConfigStatus, DaemonStatus, ErrorClass, Problem, ProfileDetails, ProfileName, ProfileState, ProfileStatus, Status,
};

use super::{Agent, AgentError};
use crate::profile::Profile;

impl Agent {
    /// The daemon, its configuration, and every profile.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock_if_due();
        let clock = self.aws.clock();
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
            profiles: self.profiles().values().map(|profile| self.status_of(profile)).collect(),
            sources: Vec::new(),
        }
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

    fn status_of(&self, profile: &Profile) -> ProfileStatus {
        let (now, clock) = (self.now(), self.aws.clock());
        let known = self.sessions.look(&profile.chain);
        let entry = self.journal.of(&profile.name);
        let planned = self.renewer.get().and_then(|renewer| renewer.planned(&profile.chain)).map(|at| clock.stamp(at));
        let usable = known.session.as_ref().is_some_and(|session| session.is_usable(now));
        let class = known.trouble.as_ref().map(|trouble| trouble.error.class());
        let state = match (class, usable) {
            (_, true) => ProfileState::Ready,
            (Some(ErrorClass::Login), false) => ProfileState::LoginNeeded,
            (Some(_), false) => ProfileState::Failed,
            (None, false) if known.session.is_some() => ProfileState::Expired,
            (None, false) => ProfileState::Unused,
        };
        let trouble = known.trouble.map(|trouble| Problem {
            since: clock.stamp(trouble.since),
            class: trouble.error.class(),
            retry: planned,
            error: trouble.error.body(&profile.source_name),
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
            role_arn: profile.chain.hops.last().map(|hop| hop.role.clone()),
            state,
            session: known.session.filter(|_| usable).map(|session| session.status(clock)),
            next_renewal: planned,
            last_used: entry.used.map(|used| clock.stamp(used)),
            problem: trouble.or(beyond),
        }
    }
}
