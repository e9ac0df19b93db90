//! The probe endpoint: tries a profile before it is configured.

use std::sync::Arc;

use rolecall_protocol::{Probed, ProbedCluster, ProfileName};

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use crate::keyring::Keyring;
use crate::sessions::{Freshness, Sessions};
use rolecall_aws::client::Aws;
use rolecall_core::config::network::Network;
use rolecall_core::profile::Profile;

/// Tries profiles of drafts.
pub struct ProbeService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) keyring: Keyring,
    pub(crate) aws: Aws,
}

impl ProbeService {
    /// Assumes the role of a profile in a draft, and describes its cluster. The first request after the draft becomes the
    /// configuration finds the session in the cache.
    pub async fn probe(&self, name: &ProfileName, draft: String) -> Result<Probed, AgentError> {
        self.lock.while_unlocked(name, Box::pin(self.probe_unlocked(name, draft))).await
    }

    async fn probe_unlocked(&self, name: &ProfileName, draft: String) -> Result<Probed, AgentError> {
        let wanted = name.clone();
        let of_draft = self.config.of_draft(draft, move |config, user| {
            let profile = Profile::find(config, &wanted, user);
            let profile = profile.ok_or_else(|| config.profiles.keys().cloned().collect::<Vec<_>>());
            (profile, Arc::clone(&config.network))
        });
        let (profile, network) = of_draft.await?;
        let profile = profile.map_err(|known| self.config.unknown_profile(name, known.iter()))?;
        let sessions = self.sessions_over(&network);
        let mut freshness = Freshness::BypassCache;
        if profile.chain.needs_interactive_mfa() {
            // The user has given an MFA code for it, after which earlier failures do not count.
            sessions.clear_failures(&profile.chain);
            freshness = Freshness::Cached;
        }
        let served = sessions.get(&profile.chain, freshness).await;
        let session = served.map_err(|error| AgentError::new(name, error.body(&profile.source_name)))?.session;
        let identified = sessions.identify(&profile.chain, &session).await;
        let arn = identified.map_err(|error| AgentError::new(name, error.body(&profile.source_name)))?;
        let cluster = match sessions.describe(&profile.chain, &session, &profile.cluster).await {
            Ok(cluster) => ProbedCluster::Cluster(cluster),
            Err(error) => ProbedCluster::ClusterProblem(error.body()),
        };
        let mut session = session.status(self.aws.clock());
        session.arn = Some(arn);
        Ok(Probed { session, cluster })
    }

    /// Returns the agent's sessions, or an empty store if the draft has other endpoints or another proxy.
    fn sessions_over(&self, network: &Arc<Network>) -> Sessions {
        if **network == *self.aws.network() {
            self.sessions.clone()
        } else {
            Sessions::new(self.aws.with_network(network), self.keyring.clone(), self.config.default_session_name())
        }
    }
}
