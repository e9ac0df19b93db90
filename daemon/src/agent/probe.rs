//! Trying a profile out before it is configured.

use rolecall_protocol::{Probed, ProbedCluster, ProfileName};

use super::{Agent, AgentError, usual_name};
use crate::sessions::{Freshness, Sessions};
use rolecall_core::profile::Profile;

impl Agent {
    /// Tries a profile of a configuration that may become the real one: assumes its role and describes its cluster. The
    /// session is kept, so that the first kubectl afterwards finds it.
    pub async fn probe(&self, name: &ProfileName, text: String) -> Result<Probed, AgentError> {
        self.while_unlocked(name, Box::pin(self.try_out(name, text))).await
    }

    async fn try_out(&self, name: &ProfileName, text: String) -> Result<Probed, AgentError> {
        let config = self.candidate(text).await?;
        let profile = Profile::find(&config, name, &self.person)
            .ok_or_else(|| self.unknown(name, config.profiles.keys().map(ProfileName::as_str)))?;
        // What it is reached through may be new too; a session that came another way is not kept.
        let is_same = *config.network == *self.aws.network();
        let sessions = if is_same {
            self.sessions.clone()
        } else {
            Sessions::new(self.aws.with_network(&config.network), self.keyring.clone(), usual_name(&self.person))
        };
        let mut freshness = Freshness::BypassCache;
        if profile.chain.needs_interactive_mfa() {
            // Somebody has just given a code for it; what failed before that is not held against it.
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
}
