//! The cluster access endpoint: whether a cluster maps a profile's role to a user.

use std::sync::Arc;

use rolecall_protocol::{AccessQuery, ClusterAccess, EventKind, ProfileName};

use super::config::ConfigService;
use super::error::AgentError;
use super::event_bus::EventBus;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use super::token_cache::TokenCache;
use crate::pin;
use crate::sessions::{Freshness, Sessions};
use rolecall_aws::client::Aws;
use rolecall_aws::kubernetes;
use rolecall_core::profile::Profile;

/// Asks API servers about the identity of a profile.
pub struct ClusterAccessService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    sessions: Sessions,
    token_cache: Arc<TokenCache>,
    activity: Arc<ProfileActivity>,
    events: EventBus,
    aws: Aws,
}

impl ClusterAccessService {
    pub(crate) const fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        sessions: Sessions,
        token_cache: Arc<TokenCache>,
        activity: Arc<ProfileActivity>,
        events: EventBus,
        aws: Aws,
    ) -> Self {
        Self { config, lock, sessions, token_cache, activity, events, aws }
    }

    /// Sends a token of a profile to its API server, which says whether it maps the role. Errors if the server and its CA
    /// are not those of the profile's pin.
    pub async fn cluster_access(&self, name: &ProfileName, query: AccessQuery) -> Result<ClusterAccess, AgentError> {
        let profile = self.config.profile(name)?;
        self.lock.while_unlocked(name, Box::pin(self.ask(&profile, query))).await
    }

    async fn ask(&self, profile: &Arc<Profile>, query: AccessQuery) -> Result<ClusterAccess, AgentError> {
        let name = &profile.name;
        let pem = pin::api_server_ca(profile, &query).map_err(|body| AgentError::new(name, body))?;
        // Not through `ProfileSessions`: this is no use of the profile.
        let served = self.sessions.get(&profile.chain, Freshness::Cached).await;
        let served = served.map_err(|error| AgentError::new(name, error.body(&profile.source_name)))?;
        let minted = self.token_cache.mint(profile, &served.session, self.aws.now(), false).await;
        let token = minted.map_err(|error| AgentError::new(name, error.body()))?;
        let network = self.aws.network();
        let access = kubernetes::who_am_i(self.aws.clock(), &network.path, &query.server, &pem, &token.token).await;
        let is_accepted = match access {
            ClusterAccess::Mapped { .. } => Some(true),
            ClusterAccess::NotMapped => Some(false),
            _ => None,
        };
        if is_accepted.is_some_and(|is_accepted| self.activity.answered(name, is_accepted, self.aws.now())) {
            self.events.publish(EventKind::Token);
        }
        Ok(access)
    }
}
