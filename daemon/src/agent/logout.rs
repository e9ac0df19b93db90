//! Logging out: what AWS can take back is given back, and everything that was got with it is forgotten.

use std::collections::HashSet;
use std::sync::Arc;

use rolecall_protocol::{ErrorBody, ErrorCode, LoggedOut, SourceName};

use super::{Agent, AgentError};
use rolecall_aws::source::Login;
use rolecall_core::config::SourceConfig;

impl Agent {
    /// Forgets what a source gave, with every session that was got from it; what is in flight lands nowhere. Sources that
    /// share its login share its end.
    pub async fn logout(&self, name: &SourceName) -> Result<LoggedOut, AgentError> {
        let source = self.source(name)?;
        let sources = self.sessions.sources().aws_profiles();
        let login = sources.login_of(&source).await;
        let (mut revoked, mut problem) = (None, None);
        if let Some(Login::Sso(session)) = &login {
            match sources.sso().logout(session).await {
                Ok(was) => revoked = Some(was),
                Err(error) => {
                    revoked = Some(false);
                    let body = ErrorBody::new(ErrorCode::AwsUnavailable, format!("source \"{name}\": {error}"));
                    problem = Some(body.hint("It ends by itself; the AWS console can end it at once."));
                }
            }
        }
        let ended = self.ended_with(&source, login.as_ref()).await;
        let sessions = self.sessions.forget(|source| ended.contains(source));
        let profiles = self.profiles();
        self.tokens.retain(|name, _| {
            let profile = profiles.get(name);
            profile.is_some_and(|profile| !ended.contains(&profile.chain.source))
        });
        self.sources_changed();
        tracing::info!(source = %name, sessions, "Logged out");
        Ok(LoggedOut { sessions, revoked, problem })
    }

    /// The sources that end with one: those of the same kind, whatever MFA they add, and those that share its login.
    async fn ended_with(&self, source: &SourceConfig, login: Option<&Login>) -> HashSet<SourceConfig> {
        let made = Arc::clone(&self.config.current().made);
        let mut ended = HashSet::new();
        for other in made.sources.values() {
            let shares = match login {
                Some(login) => self
                    .sessions
                    .sources()
                    .aws_profiles()
                    .login_of(other)
                    .await
                    .is_some_and(|theirs| theirs.is_shared_with(login)),
                None => false,
            };
            if other.kind == source.kind || shares {
                ended.insert(other.clone());
            }
        }
        ended
    }
}
