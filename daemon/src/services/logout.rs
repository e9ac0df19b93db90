//! The logout endpoint: revokes a login where AWS can, and drops everything that was derived from it.

use std::collections::HashSet;
use std::sync::Arc;

use rolecall_protocol::{ErrorBody, ErrorCode, LoggedOut, SourceName};

use super::config::ConfigService;
use super::error::AgentError;
use super::recovery::Recovery;
use super::token_cache::TokenCache;
use crate::sessions::Sessions;
use rolecall_aws::source::Login;
use rolecall_core::config::SourceConfig;

/// Logs out of sources.
pub struct LogoutService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) sessions: Sessions,
    pub(crate) token_cache: Arc<TokenCache>,
    pub(crate) recovery: Arc<Recovery>,
}

impl LogoutService {
    /// Drops a source's sessions and tokens, cancels its in-flight loads, and revokes its login. Sources that share the login
    /// are logged out too.
    pub async fn logout(&self, name: &SourceName) -> Result<LoggedOut, AgentError> {
        let source = self.config.source(name)?;
        let aws_profiles = self.sessions.sources().aws_profiles();
        let login = aws_profiles.login_of(&source).await;
        let (mut revoked, mut problem) = (None, None);
        if let Some(Login::Sso(session)) = &login {
            match aws_profiles.sso().logout(session).await {
                Ok(was_revoked) => revoked = Some(was_revoked),
                Err(error) => {
                    revoked = Some(false);
                    let body = ErrorBody::new(ErrorCode::AwsUnavailable, format!("source \"{name}\": {error}"));
                    problem = Some(body.hint("The login expires by itself. End it now in the AWS access portal."));
                }
            }
        }
        let logged_out = self.sources_of_login(&source, login.as_ref()).await;
        let sessions = self.sessions.forget(|source| logged_out.contains(source));
        let profiles = self.config.profiles();
        self.token_cache
            .retain(|name, _| profiles.get(name).is_some_and(|profile| !logged_out.contains(&profile.chain.source)));
        self.recovery.sources_changed();
        tracing::info!(source = %name, sessions, "source logged out");
        Ok(LoggedOut { sessions, revoked, problem })
    }

    /// Returns the sources of the same kind, with any MFA, and those that share the login.
    async fn sources_of_login(&self, source: &SourceConfig, login: Option<&Login>) -> HashSet<SourceConfig> {
        let config = self.config.active();
        let aws_profiles = self.sessions.sources().aws_profiles();
        let mut found = HashSet::new();
        for other in config.sources.values() {
            let shares_login = match login {
                Some(login) => aws_profiles.login_of(other).await.is_some_and(|other| other.is_shared_with(login)),
                None => false,
            };
            if other.kind == source.kind || shares_login {
                found.insert(other.clone());
            }
        }
        found
    }
}
