//! The cluster endpoint: a profile's cluster as EKS describes it.

use std::sync::Arc;

use rolecall_protocol::{Cluster, ProfileName};

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_sessions::ProfileSessions;
use crate::sessions::{Freshness, Sessions};

/// Describes clusters.
pub struct ClusterService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    sessions: Sessions,
    profile_sessions: Arc<ProfileSessions>,
}

impl ClusterService {
    pub(crate) const fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        sessions: Sessions,
        profile_sessions: Arc<ProfileSessions>,
    ) -> Self {
        Self { config, lock, sessions, profile_sessions }
    }

    /// Describes a profile's cluster with the profile's session. This is not a use of the profile:
    /// `rolecall kubeconfig --all` must not start the renewal of every session.
    pub async fn cluster(&self, name: &ProfileName) -> Result<Cluster, AgentError> {
        let profile = self.config.profile(name)?;
        let describe = async {
            let served = self.profile_sessions.get_unused(&profile, Freshness::Cached).await?;
            let described = self.sessions.describe(&profile.chain, &served.session, &profile.cluster).await;
            described.map_err(|error| AgentError::new(name, error.body()))
        };
        self.lock.while_unlocked(name, Box::pin(describe)).await
    }
}
