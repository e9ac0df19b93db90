//! The refresh endpoint: a new session for a profile.

use std::sync::Arc;

use rolecall_protocol::{ProfileName, Refreshed};

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_sessions::ProfileSessions;
use crate::sessions::Freshness;
use rolecall_core::clock::Clock;

/// Replaces sessions on request.
pub struct RefreshService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    profile_sessions: Arc<ProfileSessions>,
    clock: Clock,
}

impl RefreshService {
    pub(crate) const fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        profile_sessions: Arc<ProfileSessions>,
        clock: Clock,
    ) -> Self {
        Self { config, lock, profile_sessions, clock }
    }

    /// Assumes a profile's role again, whatever the cache has, and although the endpoint of STS failed before.
    pub async fn refresh(&self, name: &ProfileName) -> Result<Refreshed, AgentError> {
        let profile = self.config.profile(name)?;
        self.profile_sessions.allow_probe(&profile);
        let session = self.profile_sessions.get(&profile, Freshness::BypassCache);
        let served = self.lock.while_unlocked(name, session).await?;
        Ok(Refreshed { session: served.session.status(&self.clock) })
    }
}
