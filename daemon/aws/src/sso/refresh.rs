//! Renewing a token without a person: one CreateToken, however many roles and profiles wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{Grant, GrantError, Wire};
use super::in_flight::Running;
use super::token::{self, Token, fingerprint};
use super::{Sso, SsoError, SsoSession};

/// With less left than this a token is renewed. The AWS CLI does it at a quarter of an hour, so it often comes first.
const EARLY: Duration = Duration::from_mins(5);
/// With less left than this it is as good as over: the call takes time, too.
const GUARD: Duration = Duration::from_secs(5);

/// What a renewal comes to.
pub(super) type Renewed = Result<Arc<Token>, SsoError>;

impl Sso {
    /// A good token: the one of the file, or a newer one where that is over, or nearly.
    pub(super) async fn token(&self, session: &SsoSession) -> Renewed {
        let Some(token) = self.read(session)? else {
            return Err(SsoError::NotLoggedIn);
        };
        let token = Arc::new(token);
        if self.is_fresh(session, &token) {
            return Ok(token);
        }
        let is_good = self.is_good(session, &token);
        match self.renewed(session).await {
            Ok(newer) => Ok(newer),
            // A failed renewal takes nothing away.
            Err(_) if is_good => Ok(token),
            Err(error) => Err(error),
        }
    }

    /// Joins the renewal that is under way, or begins one. It goes on without those who do not wait for it.
    async fn renewed(&self, session: &SsoSession) -> Renewed {
        let mut outcome = self.renewal(session);
        let landed = outcome.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
        // It was dropped: somebody has logged out, or in.
        landed.unwrap_or_else(|| match self.read(session)? {
            Some(token) if self.is_fresh(session, &token) => Ok(Arc::new(token)),
            _ => Err(SsoError::login_needed("somebody logged out meanwhile")),
        })
    }

    fn renewal(&self, session: &SsoSession) -> watch::Receiver<Option<Renewed>> {
        let mut slots = self.slots();
        let ticket = slots.ticket();
        let slot = slots.of(&self.path(session));
        // A task that has said what it came to is not under way, though it may not have ended yet.
        let is_loading =
            |renewal: &&Running<Option<Renewed>>| renewal.is_under_way() && renewal.outcome.borrow().is_none();
        if let Some(running) = slot.renewal.as_ref().filter(is_loading) {
            return running.outcome.clone();
        }
        let (land, outcome) = watch::channel(None);
        let (sso, session) = (self.clone(), session.clone());
        let task = tokio::spawn(async move {
            let outcome = sso.renew(&session, ticket).await;
            sso.slots().land(&sso.path(&session), ticket, &land, outcome);
        });
        slot.renewal = Some(Running { ticket, outcome: outcome.clone(), task: task.abort_handle() });
        outcome
    }

    async fn renew(&self, session: &SsoSession, ticket: u64) -> Renewed {
        // Others may have renewed it since somebody asked: another caller, or the AWS CLI.
        let Some(token) = self.read(session)? else {
            return Err(SsoError::NotLoggedIn);
        };
        if self.is_fresh(session, &token) {
            return Ok(Arc::new(token));
        }
        let over = || SsoError::login_needed("the login has expired");
        let Some((client, refresh)) = token.renewal(self.local_now()).filter(|_| session.renews()) else {
            return Err(over());
        };
        let spent = fingerprint(refresh);
        if self.slots().of(&self.path(session)).spent == Some(spent) {
            return Err(over());
        }
        // Before the call: it uses the old refresh token up, and the new one has to be kept.
        token::prepare(&self.path(session))?;
        match Wire::new(self.aws(), session).token(client, Grant::Refresh { token: refresh }).await {
            Ok(granted) => {
                let before = token.fingerprints();
                let token = token.renewed(session, granted, self.local_now());
                match self.keep_renewal(session, ticket, before, token)? {
                    Some(token) if self.is_good(session, &token) => Ok(Arc::new(token)),
                    Some(_) => Err(over()),
                    None => Err(SsoError::login_needed("somebody logged out meanwhile")),
                }
            }
            Err(GrantError::Refused(_) | GrantError::Expired | GrantError::Denied) => {
                // The AWS CLI may have used the same refresh token a moment before us.
                match self.read(session)? {
                    Some(newer) if self.is_fresh(session, &newer) => Ok(Arc::new(newer)),
                    _ => {
                        self.slots().of(&self.path(session)).spent = Some(spent);
                        Err(over())
                    }
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_fresh(&self, session: &SsoSession, token: &Token) -> bool {
        token.left(self.local_now()) >= EARLY && !self.is_rejected(session, token)
    }

    /// Whether it can be used, for a moment at least.
    fn is_good(&self, session: &SsoSession, token: &Token) -> bool {
        token.left(self.local_now()) > GUARD && !self.is_rejected(session, token)
    }

    /// Whether the portal has refused this very token.
    fn is_rejected(&self, session: &SsoSession, token: &Token) -> bool {
        self.slots().of(&self.path(session)).rejected == Some(fingerprint(&token.access))
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::client::{Aws, AwsFiles};
    use rolecall_core::clock::Clock;

    #[tokio::test]
    async fn nothing_is_kept_of_a_token_that_was_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let files = AwsFiles { config: file("config"), credentials: file("credentials"), logins: file("aws") };
        let sso = Sso::new(Aws::new(files, Clock::machine()));
        let session = SsoSession {
            profile: "work".to_owned(),
            name: Some("corp".to_owned()),
            start_url: "https://x.awsapps.com/start".to_owned(),
            region: "eu-west-1".parse().unwrap(),
            scopes: vec![],
        };
        let path = sso.path(&session);
        token::prepare(&path).unwrap();
        std::fs::write(&path, r#"{"accessToken":"at","expiresAt":"2999-01-01T00:00:00Z"}"#).unwrap();
        let (one, other) = tokio::join!(sso.renewed(&session), sso.renewed(&session));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let kept = Arc::downgrade(&one);
        drop((one, other));
        assert!(kept.upgrade().is_none());
    }
}
