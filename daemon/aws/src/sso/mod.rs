//! IAM Identity Center: one login for all AWS profiles of an `[sso-session]`. The token is in the AWS CLI's own file, so the
//! AWS CLI shares the login.
//!
//! Files, each of which imports only those before it: `session` and `error` (types), `token` (the file), `client` and
//! `portal` (calls), `store` (state), `refresh`, the flows `callback`, `browser` and `device`, `login`, and [`Sso`] in front of all.

mod browser;
mod callback;
mod client;
mod device;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod login;
mod portal;
mod refresh;
mod session;
mod store;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rolecall_core::session::Session;
use rolecall_protocol::{LoginFlow, LoginKind, LoginStatus};
use tokio::time::timeout;

use crate::client::Aws;
use crate::error::{AwsError, AwsErrorKind};
use client::{Grant, GrantError, SsoClient};
pub use error::SsoError;
use login::Logins;
pub use login::{SsoLogin, SsoStep};
use portal::PortalError;
pub use portal::SsoAccount;
use refresh::Refresher;
pub(crate) use session::DEFAULT_SCOPE;
pub use session::SsoSession;
use store::TokenStore;
use token::SsoToken;

/// How long the portal may take to end a login (K3).
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Logins to IAM Identity Center. Clones share their state.
#[derive(Clone)]
pub struct Sso(Arc<Inner>);

struct Inner {
    aws: Aws,
    store: Arc<TokenStore>,
    refresher: Refresher,
    logins: Logins,
}

impl Sso {
    /// Uses the token files of AWS's own tools.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        let store = Arc::new(TokenStore::new(aws.files().logins.clone(), aws.clock().clone()));
        let refresher = Refresher::new(aws.clone(), Arc::clone(&store));
        let logins = Logins::new(aws.clone(), Arc::clone(&store), refresher.clone());
        Self(Arc::new(Inner { aws, store, refresher, logins }))
    }

    /// Returns the credentials of a role. Refreshes the shared token first if it has expired or expires within 5 min.
    pub async fn role_credentials(&self, session: &SsoSession, account: &str, role: &str) -> Result<Session, SsoError> {
        let call = |token: Arc<SsoToken>| async move {
            SsoClient::new(&self.0.aws, session).role_credentials(&token.access, account, role).await
        };
        self.with_token(session, call).await
    }

    /// Returns the accounts in which the user of a login has a role.
    pub async fn accounts(&self, session: &SsoSession) -> Result<Vec<SsoAccount>, SsoError> {
        let call =
            |token: Arc<SsoToken>| async move { SsoClient::new(&self.0.aws, session).accounts(&token.access).await };
        self.with_token(session, call).await
    }

    /// Returns the names of the roles that the user of a login has in an account.
    pub async fn roles(&self, session: &SsoSession, account: &str) -> Result<Vec<String>, SsoError> {
        let call = |token: Arc<SsoToken>| async move {
            SsoClient::new(&self.0.aws, session).roles(&token.access, account).await
        };
        self.with_token(session, call).await
    }

    /// Calls the portal with a valid token. AWS can revoke a token before it expires: the second attempt uses another token.
    async fn with_token<T, F>(&self, session: &SsoSession, call: impl Fn(Arc<SsoToken>) -> F) -> Result<T, SsoError>
    where
        F: Future<Output = Result<T, PortalError>>,
    {
        for _ in 0..2 {
            let token = Arc::new(self.0.refresher.valid_token(session).await?);
            match call(Arc::clone(&token)).await {
                Ok(response) => return Ok(response),
                Err(PortalError::Other(error)) => return Err(error),
                Err(PortalError::Unauthorized) => self.0.store.reject_access(session, &token),
            }
        }
        Err(SsoError::login_needed("AWS revoked the login"))
    }

    /// The number of the last login of this process: another number may mean another user. `None` if there was no login
    /// since the process started. A login by another tool is not counted, because it looks like a refresh.
    #[must_use]
    pub fn last_login(&self, session: &SsoSession) -> Option<u64> {
        self.0.store.last_login(session)
    }

    /// Starts a login, or joins the one under way for the session if it uses the same flow; the other flow is cancelled.
    /// The login continues without its callers. Unless `renew` is set, a token that is valid or can be refreshed is
    /// [`SsoStep::Done`] immediately.
    pub fn login(&self, session: &SsoSession, flow: LoginFlow, renew: bool) -> SsoLogin {
        self.0.logins.start(session, flow, renew)
    }

    /// Logs out: cancels what is under way, deletes the token file, and ends the login at the portal. Returns whether the
    /// portal ended a login. Errors with [`SsoError::Aws`] if the portal cannot be reached; the file is deleted then, too.
    pub async fn logout(&self, session: &SsoSession) -> Result<bool, SsoError> {
        let deleted = self.0.store.delete(session);
        self.0.refresher.forget(session);
        self.0.logins.forget(session);
        let Some(token) = deleted? else { return Ok(false) };
        let revoked = timeout(LOGOUT_TIMEOUT, self.revoke(session, token)).await;
        revoked.unwrap_or_else(|_| Err(AwsError::new(AwsErrorKind::Unreachable, "no response in time").into()))
    }

    /// Cancels every refresh; none of them writes a token afterwards. Logins continue: the user may be approving one, and
    /// its token, which the AWS CLI uses too, goes to the file only.
    pub fn cancel_refreshes(&self) {
        self.0.refresher.cancel_all();
    }

    /// The login in the token file, expired or not; `None` if there is none.
    #[must_use]
    pub fn status(&self, session: &SsoSession) -> Option<LoginStatus> {
        let store = &self.0.store;
        let token = store.read(session).ok().flatten()?;
        let renews = store.can_refresh(session, &token);
        Some(LoginStatus { kind: LoginKind::Sso, ends: Some(token.expires), renews })
    }

    /// Ends a login at the portal. A refresh token can still renew an expired login, so an expired login is refreshed once
    /// more and then ended.
    async fn revoke(&self, session: &SsoSession, token: SsoToken) -> Result<bool, SsoError> {
        let client = SsoClient::new(&self.0.aws, session);
        let now = self.0.store.local_now();
        if let (true, Some((registered, refresh))) = (token.time_left(now).is_zero(), token.refresh_grant(now)) {
            return match client.create_token(registered, Grant::Refresh { token: refresh }).await {
                Ok(granted) => client.logout(&granted.access).await,
                Err(GrantError::Aws(error)) => Err(error.into()),
                Err(_) => Ok(false),
            };
        }
        client.logout(&token.access).await
    }
}

impl fmt::Debug for Sso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sso").finish_non_exhaustive()
    }
}
