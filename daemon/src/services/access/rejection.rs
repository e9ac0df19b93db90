//! Why the API server rejects the role of a profile.

use std::sync::Arc;

use rolecall_core::cluster_access::principal::Principal;
use rolecall_core::cluster_access::reading::{NEVER_MATCHES, Reading};
use rolecall_core::profile::Profile;
use rolecall_protocol::{AccessFinding, AccessQuery, AuthenticationMode, ErrorBody, Severity, Unread};

use super::connection::{ClusterConnection, pinned};
use super::error::finding;
use super::{AccessService, principals, reading};
use crate::sessions::Freshness;

/// The most other profiles whose sessions read a cluster.
const MAX_OTHER_READERS: usize = 3;

/// Why a role cannot enter, as far as it could be read.
pub(in crate::services) struct Rejection {
    /// The ARN of the role or user, with its path where that is known.
    pub(in crate::services) principal: String,
    /// The authentication mode, if it could be read.
    pub(in crate::services) mode: Option<AuthenticationMode>,
    /// Whether what was read lets it enter. `None` if what was read does not say it.
    pub(in crate::services) can_enter: Option<bool>,
    /// What names the role, and why that does not let it enter. The first one is the most likely cause.
    pub(in crate::services) causes: Vec<AccessFinding>,
    /// What could not be read.
    pub(in crate::services) unread: Vec<Unread>,
}

impl AccessService {
    /// Reads why a cluster rejects the role of a profile. The API server does not show aws-auth to a role that it rejects, so what
    /// the role cannot read is read with the source's session, and with those sessions of other profiles of the same cluster that
    /// are in the cache and have no constraints.
    pub(in crate::services) async fn explain_rejection(
        &self,
        profile: &Arc<Profile>,
        query: &AccessQuery,
    ) -> Result<Rejection, ErrorBody> {
        let cluster = self.connect(profile, Some(query)).await.map_err(|error| error.0)?;
        let other_profiles = self.other_profiles_of_cluster(profile);
        let others = self.other_connections(profile, &other_profiles, query).await;
        let own = cluster.caller().await?;
        let mut read = reading::read_also_as(&cluster, &others).await?;
        let answers = principals::look_up(&cluster, std::slice::from_ref(&own)).await;
        let principal = answers.complete(&own);
        if answers.is_missing(&principal) {
            read.reading.missing.insert(principal.to_string());
        }
        let explanation = read.reading.explain(&principal);
        let mut causes = explanation.reasons;
        causes.retain(|cause| cause.severity == Severity::Error);
        if explanation.can_enter != Some(true) {
            causes.extend(read.reading.of_other_accounts(&principal));
            if is_in_ignored_aws_auth(&read.reading, &principal) {
                let message = "aws-auth maps it, and the authentication mode is API, so the cluster ignores aws-auth";
                causes.insert(0, finding(Severity::Error, "aws_auth_ignored", message));
            }
        }
        // A line about this principal says more than one about the whole text.
        causes.sort_by_key(|cause| !NEVER_MATCHES.contains(&cause.code.as_str()));
        Ok(Rejection {
            principal: principal.to_string(),
            mode: read.reading.mode,
            can_enter: explanation.can_enter,
            causes,
            unread: read.unread,
        })
    }

    /// Returns other profiles of the same cluster that have a usable session.
    fn other_profiles_of_cluster(&self, profile: &Arc<Profile>) -> Vec<Arc<Profile>> {
        let now = self.aws.now();
        let is_reader = |other: &&Arc<Profile>| {
            other.name != profile.name
                && other.pin.is_some()
                && other.pin == profile.pin
                && other.cluster == profile.cluster
                && other.chain.region == profile.chain.region
                && other.constraints.is_none()
                && self.profiles.sessions.peek(&other.chain).session.is_some_and(|session| session.is_usable(now))
        };
        self.config.profiles().values().filter(is_reader).take(MAX_OTHER_READERS).cloned().collect()
    }

    /// Connects with the sessions of other profiles, and with that of the source, which is not sent to the API server.
    async fn other_connections<'a>(
        &'a self,
        profile: &'a Arc<Profile>,
        others: &'a [Arc<Profile>],
        query: &AccessQuery,
    ) -> Vec<ClusterConnection<'a>> {
        let mut connections = Vec::new();
        for other in others {
            if let Some(session) = self.profiles.sessions.peek(&other.chain).session
                && let Ok(api_server) = pinned(other, query)
                && let Ok(connection) = self.connect_with(other, session, Some(api_server)).await
            {
                connections.push(connection);
            }
        }
        if !profile.chain.is_base()
            && let Ok(base) = self.profiles.sessions.get(&profile.chain.base(), Freshness::Cached).await
            && let Ok(connection) = self.connect_with(profile, base.session, None).await
        {
            connections.push(connection);
        }
        connections
    }
}

/// Whether aws-auth maps a principal in a cluster that ignores aws-auth.
fn is_in_ignored_aws_auth(reading: &Reading, principal: &Principal) -> bool {
    reading.uses_aws_auth() == Some(false)
        && Reading { mode: Some(AuthenticationMode::ConfigMap), ..reading.clone() }.explain(principal).can_enter
            == Some(true)
}
