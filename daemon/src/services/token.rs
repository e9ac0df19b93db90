//! The token endpoint: from a profile's name to a finished ExecCredential.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{
    EntryProof, ErrorBody, EventKind, ExecCredential, ExecInfo, ProfileName, RejectedIdentity, Secret,
};

use super::audit::SessionFacts;
use super::config::ConfigService;
use super::constraints::ConstraintService;
use super::error::AgentError;
use super::event_bus::EventBus;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use super::profile_sessions::ProfileSessions;
use super::token_cache::TokenCache;
use super::unauthorized::{ClientProcess, TokenPolicy, UnauthorizedDetector};
use crate::pin::{self, PinError};
use crate::sessions::{Freshness, Served};
use rolecall_aws::token::Token;
use rolecall_core::clock::Clock;
use rolecall_core::constraints::ConstraintError;
use rolecall_core::profile::Profile;

/// How long a caller waits for a new session after a suspected 401, while the old session still signs.
const NEW_SESSION_TIMEOUT: Duration = Duration::from_secs(2);

/// A token for a client.
#[derive(Debug)]
pub struct ServedToken {
    /// The finished ExecCredential as JSON.
    pub credential: Secret<Vec<u8>>,
    /// What the audit log has of it.
    pub facts: SessionFacts,
    /// The identity that the cluster rejects, if the client is to print that.
    pub rejected: Option<RejectedIdentity>,
}

/// Serves tokens.
pub struct TokenService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    profile_sessions: Arc<ProfileSessions>,
    token_cache: Arc<TokenCache>,
    activity: Arc<ProfileActivity>,
    events: EventBus,
    constraints: Arc<ConstraintService>,
    clock: Clock,
    unauthorized: UnauthorizedDetector,
}

impl TokenService {
    pub(crate) fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        profile_sessions: Arc<ProfileSessions>,
        token_cache: Arc<TokenCache>,
        activity: Arc<ProfileActivity>,
        events: EventBus,
        constraints: Arc<ConstraintService>,
    ) -> Self {
        let (clock, unauthorized) = (constraints.clock.clone(), UnauthorizedDetector::default());
        Self { config, lock, profile_sessions, token_cache, activity, events, constraints, clock, unauthorized }
    }

    /// Returns a token. `info` is the text of KUBERNETES_EXEC_INFO, or empty; `proof` is what the
    /// client presents beside it; `client` is the process that runs the plugin, if it is known. Errors if the profile's pin
    /// excludes the kubeconfig, or one of its constraints the call.
    pub async fn token(
        &self,
        name: &ProfileName,
        info: &[u8],
        proof: &EntryProof,
        client: Option<ClientProcess>,
    ) -> Result<ServedToken, AgentError> {
        let profile = self.config.profile(name)?;
        self.lock.while_unlocked(name, self.credential(&profile, info, proof, client)).await
    }

    /// As [`Self::token`], in a process that ends after it. Errors if the profile has constraints, since their state is in the
    /// daemon.
    pub async fn token_without_daemon(
        &self,
        name: &ProfileName,
        info: &[u8],
        proof: &EntryProof,
    ) -> Result<ServedToken, AgentError> {
        if self.config.profile(name)?.constraints.is_some() {
            return Err(AgentError::new(name, ConstraintError::NoDaemon.body(name)));
        }
        self.token(name, info, proof, None).await
    }

    async fn credential(
        &self,
        profile: &Arc<Profile>,
        info: &[u8],
        proof: &EntryProof,
        client: Option<ClientProcess>,
    ) -> Result<ServedToken, AgentError> {
        let (name, requested_at) = (&profile.name, self.clock.now());
        let asking = client;
        // Clients of Kubernetes send an ExecInfo, and client-go asks again only after a 401. A script sends none: if it asks
        // twice, it wants two tokens.
        let client = client.filter(|_| !info.is_empty());
        let info = ExecInfo::parse(info).map_err(|error| AgentError::exec_info(name, &error))?;
        pin::check(profile, info.cluster.as_ref(), proof).map_err(|error| self.refuse(name, &error))?;
        Box::pin(self.constraints.check(profile, asking)).await.map_err(|error| self.constrain(name, &error))?;
        let policy =
            client.map_or(TokenPolicy::Shared, |client| self.unauthorized.on_request(name, client, requested_at));
        let session = self.session(profile, policy).await?;
        let token = self.mint(profile, &session, policy).await?;
        let mut rejected = None;
        if let Some(client) = client {
            // client-go sees the expiry in whole seconds.
            self.unauthorized.on_response(name, client, self.clock.now(), token.expires - Duration::from_secs(1));
            rejected = self.rejected(profile, client, policy);
        }
        let expires = self.clock.stamp(token.expires);
        let credential = ExecCredential::new(info.api_version, token.token.expose().as_str(), expires);
        let credential = serde_json::to_vec(&credential).map(Secret::new).map_err(|_| AgentError::internal(name))?;
        let is_cached = session.session.issued < requested_at;
        Ok(ServedToken {
            credential,
            facts: SessionFacts { is_cached, key_id: session.session.key_id_suffix().to_owned() },
            rejected,
        })
    }

    /// Returns the identity that the cluster rejects, once for each process that was rejected itself. Another process may be the
    /// first one after an administrator has mapped the identity.
    fn rejected(&self, profile: &Profile, client: ClientProcess, policy: TokenPolicy) -> Option<RejectedIdentity> {
        let was_rejected = matches!(policy, TokenPolicy::NewSignature | TokenPolicy::NewSession);
        let is_due = was_rejected
            && self.activity.is_rejected(&profile.name, self.clock.now())
            && self.unauthorized.may_notify(&profile.name, client);
        is_due.then(|| RejectedIdentity::of(profile.chain.steps.last().map(|step| &step.role)))
    }

    /// Records that the pin excludes a kubeconfig, and returns the error for the client.
    fn refuse(&self, name: &ProfileName, error: &PinError) -> AgentError {
        tracing::warn!(profile = %name, %error, "token refused by the pin");
        self.record_failure(name, error.body(name));
        AgentError::new(name, error.body(name))
    }

    /// Records that a constraint excludes a call, and returns the error for the client.
    fn constrain(&self, name: &ProfileName, error: &ConstraintError) -> AgentError {
        if *error != ConstraintError::Pending {
            tracing::warn!(profile = %name, code = %error.body(name).code, "token refused by a constraint");
            self.record_failure(name, error.body(name));
        }
        AgentError::new(name, error.body(name))
    }

    /// Returns a session that signs, a new one if the policy asks for it and it arrives in time.
    async fn session(&self, profile: &Profile, policy: TokenPolicy) -> Result<Served, AgentError> {
        if policy == TokenPolicy::NewSession && self.unauthorized.may_replace(&profile.chain, self.clock.now()) {
            tracing::info!(profile = %profile.name, "token rejected by the cluster, assuming the role again");
            let refreshed = self.profile_sessions.get(profile, Freshness::Refresh);
            if let Ok(Ok(served)) = tokio::time::timeout(NEW_SESSION_TIMEOUT, refreshed).await {
                return Ok(served);
            }
        }
        let served = self.profile_sessions.get(profile, Freshness::Cached).await?;
        if let Some(problem) = &served.problem {
            tracing::debug!(profile = %profile.name, error = %problem, "session renewal failed, old session served");
        }
        Ok(served)
    }

    async fn mint(
        &self,
        profile: &Arc<Profile>,
        served: &Served,
        policy: TokenPolicy,
    ) -> Result<Arc<Token>, AgentError> {
        let needs_new_signature = policy != TokenPolicy::Shared;
        let minted = self.token_cache.mint(profile, &served.session, self.clock.now(), needs_new_signature).await;
        match &minted {
            Ok(_) if self.activity.succeeded(&profile.name, policy, self.clock.now()) => {
                self.events.publish(EventKind::Token);
            }
            Ok(_) => {}
            Err(error) => self.record_failure(&profile.name, error.body()),
        }
        minted.map_err(|error| AgentError::new(&profile.name, error.body()))
    }

    fn record_failure(&self, name: &ProfileName, error: ErrorBody) {
        if self.activity.failed(name, error, self.clock.now()) {
            self.events.publish(EventKind::Token);
        }
    }
}
