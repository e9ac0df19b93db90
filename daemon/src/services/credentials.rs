//! The credentials endpoint: a profile's session, for programs that call AWS themselves.

use std::sync::Arc;

use rolecall_protocol::{ErrorBody, ErrorCode, ProfileCredentials, ProfileName, Secret};

use super::audit::SessionFacts;
use super::config::ConfigService;
use super::constraints::ConstraintService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_sessions::ProfileSessions;
use super::unauthorized::ClientProcess;
use crate::sessions::Freshness;
use rolecall_core::clock::Clock;
use rolecall_core::profile::Profile;
use rolecall_core::session::Session;

/// The credentials for a client.
#[derive(Debug)]
pub struct ServedCredentials {
    /// The [`ProfileCredentials`] as JSON.
    pub body: Secret<Vec<u8>>,
    /// What the audit log has of them.
    pub facts: SessionFacts,
}

/// Serves the sessions of profiles.
pub struct CredentialService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) profile_sessions: Arc<ProfileSessions>,
    pub(crate) constraints: Arc<ConstraintService>,
    pub(crate) clock: Clock,
}

impl CredentialService {
    /// Returns the session of a profile. `client` is the process that runs the client, if it is known. Errors if the setting
    /// `credentials` of the profile is false, if a constraint excludes the call, and for a long-lived access key.
    pub async fn credentials(
        &self,
        name: &ProfileName,
        client: Option<ClientProcess>,
    ) -> Result<ServedCredentials, AgentError> {
        let profile = self.config.profile(name)?;
        self.lock.while_unlocked(name, self.session(&profile, client)).await
    }

    async fn session(
        &self,
        profile: &Arc<Profile>,
        client: Option<ClientProcess>,
    ) -> Result<ServedCredentials, AgentError> {
        let (name, requested_at) = (&profile.name, self.clock.now());
        if profile.tokens_only {
            let hint = "Remove it from config.toml to allow other programs than kubectl.";
            return Err(refused(name, "its setting credentials = false allows tokens only", hint));
        }
        Box::pin(self.constraints.check_request(name, client)).await?;
        let served = self.profile_sessions.get(profile, Freshness::Cached).await?;
        let body = self.body(profile, &served.session)?;
        let is_cached = served.session.issued < requested_at;
        let key_id = served.session.key_id_suffix().to_owned();
        Ok(ServedCredentials { body, facts: SessionFacts { is_cached, key_id } })
    }

    fn body(&self, profile: &Profile, session: &Session) -> Result<Secret<Vec<u8>>, AgentError> {
        let credentials = &session.credentials;
        let Some(session_token) = credentials.session_token() else {
            let message =
                format!("source \"{}\" has a long-lived access key, which is never handed out", profile.source_name);
            let hint = format!(
                "Add role_arn to the profile: the session of a role is handed out. For kubectl alone: rolecall shell {}",
                profile.name
            );
            return Err(refused(&profile.name, &message, &hint));
        };
        let secret = |text: &str| Secret::new(text.to_owned());
        let served = ProfileCredentials {
            access_key_id: secret(credentials.access_key_id()),
            secret_access_key: secret(credentials.secret_access_key()),
            session_token: secret(session_token),
            expires: session.expires().map(|end| self.clock.stamp(end)),
            region: profile.chain.region.clone(),
        };
        serde_json::to_vec(&served).map(Secret::new).map_err(|_| AgentError::internal(&profile.name))
    }
}

fn refused(name: &ProfileName, message: &str, hint: &str) -> AgentError {
    AgentError::new(name, ErrorBody::new(ErrorCode::NotAllowed, message).hint(hint))
}
