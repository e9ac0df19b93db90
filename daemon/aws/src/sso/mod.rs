//! IAM Identity Center: one login, shared by every AWS profile of an `[sso-session]`, and with the AWS CLI by way of the file
//! where that keeps it.
//!
//! [`Sso::role_credentials`] is what sources ask for. It renews the login by itself where AWS lets it; where AWS does not, a
//! person is needed, and [`Sso::login`] has them approve another one: in a browser that comes back to this machine, or on
//! any device with a code.

mod browser;
mod callback;
mod client;
mod device;
mod in_flight;
mod login;
mod refresh;
mod token;

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use in_flight::Slots;
use jiff::Timestamp;
use rolecall_protocol::{ErrorClass, LoginStatus, Region};
use tokio::time::timeout;

use crate::client::Aws;
use crate::error::{AwsError, AwsErrorKind};
use rolecall_core::session::Session;

use client::{Grant, PortalError, Wire};
pub use login::{SsoLogin, SsoStep};
use token::{Fingerprints, Token, fingerprint};

/// What a session may do where it says nothing: see accounts and roles, and be renewed.
const DEFAULT_SCOPE: &str = "sso:account:access";
/// How long the portal may take to end a login (K3).
const LOGOUT: Duration = Duration::from_secs(5);

/// A login to IAM Identity Center that AWS profiles share: `[sso-session NAME]`, or the legacy keys in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SsoSession {
    /// The AWS profile whose endpoint settings (`services`: `sso`, `sso_oidc`) count.
    pub profile: String,
    /// The name of the `[sso-session]`; none for the legacy keys.
    pub name: Option<String>,
    /// `sso_start_url`
    pub start_url: String,
    /// `sso_region`
    pub region: Region,
    /// `sso_registration_scopes`
    pub scopes: Vec<String>,
}

/// Logins to IAM Identity Center. Clones are the same one.
#[derive(Clone)]
pub struct Sso(Arc<Inner>);

struct Inner {
    aws: Aws,
    slots: Mutex<Slots>,
}

/// Why there are no credentials, or no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SsoError {
    /// A person has to log in.
    #[error("a login to IAM Identity Center is needed: {why}")]
    LoginNeeded {
        /// Why.
        why: String,
    },
    /// The same where there is no login that could have ended.
    #[error("nobody is logged in to IAM Identity Center")]
    NotLoggedIn,
    /// The person who is logged in has no such role in that account, or the role or the account does not exist.
    #[error("IAM Identity Center has not assigned this role in this account to the person who is logged in")]
    NoAssignment,
    /// The person said no.
    #[error("the login was refused in the browser")]
    Denied,
    /// The person said nothing.
    #[error("nobody approved the login in time")]
    Expired,
    /// AWS, or the way to it.
    #[error("IAM Identity Center: {}", .0.message)]
    Aws(AwsError),
    /// This machine: a file that cannot be read or written, no port to listen on.
    #[error("{0}")]
    File(String),
}

impl Sso {
    /// Logins kept where AWS's own tools keep them.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        Self(Arc::new(Inner { aws, slots: Mutex::default() }))
    }

    /// The credentials of a role, with the shared token, which is renewed first where it is over, or nearly.
    pub async fn role_credentials(&self, session: &SsoSession, account: &str, role: &str) -> Result<Session, SsoError> {
        // A token may have been revoked long before its end: then another one is tried, once.
        for _ in 0..2 {
            let token = self.token(session).await?;
            match Wire::new(self.aws(), session).role(&token.access, account, role).await {
                Ok(session) => return Ok(session),
                Err(PortalError::Other(error)) => return Err(error),
                Err(PortalError::Unauthorized) => self.reject(session, &token),
            }
        }
        Err(SsoError::login_needed("the login is no longer good"))
    }

    /// Names the last login that was made here; another name means another person, perhaps. `None` where that was before this
    /// program started_at, or by another tool, which cannot be told from its renewing.
    #[must_use]
    pub fn last_login(&self, session: &SsoSession) -> Option<u64> {
        self.slots().known(&self.path(session))?.kept
    }

    /// Logs out: the token's file is deleted, what is under way is dropped and writes nothing afterwards, and the portal is
    /// told. `true`: the portal took the login back; `false`: there was nothing to take back. An error that is AWS's means
    /// that it was not told, or did not listen; the login is gone from this machine all the same.
    pub async fn logout(&self, session: &SsoSession) -> Result<bool, SsoError> {
        let path = self.path(session);
        let token = {
            let mut slots = self.slots();
            slots.forget(&path);
            // Whatever is in the way of reading it, it has to go.
            let token = Token::read(&path, session).unwrap_or_default();
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(SsoError::File(format!("{} cannot be deleted: {error}", path.display())));
                }
                _ => token,
            }
        };
        let Some(token) = token else { return Ok(false) };
        let revoked = timeout(LOGOUT, self.revoke(session, token)).await;
        revoked.unwrap_or_else(|_| Err(AwsError::new(AwsErrorKind::Unreachable, "no answer in time").into()))
    }

    /// Has no token in memory any more. Renewals that are under way end and write nothing; a login goes on, which a person may
    /// be approving: its token is the AWS CLI's as well, and goes into the file alone.
    pub fn cancel_refreshes(&self) {
        self.slots().end_renewals();
    }

    /// The login as its file tells it, ended or not; `None` where there is none.
    #[must_use]
    pub fn status(&self, session: &SsoSession) -> Option<LoginStatus> {
        let token = self.read(session).ok().flatten()?;
        let spent = self.slots().known(&self.path(session)).and_then(|slot| slot.spent);
        let renews = session.renews()
            && token.renewal(self.local_now()).is_some_and(|(_, refresh)| spent != Some(fingerprint(refresh)));
        Some(token.status(renews))
    }

    /// Ends a login at the portal. One that is over can be renewed still by whoever has its refresh token: it is renewed
    /// once more, and ended then.
    async fn revoke(&self, session: &SsoSession, token: Token) -> Result<bool, SsoError> {
        let wire = Wire::new(self.aws(), session);
        let now = self.local_now();
        if let (true, Some((client, refresh))) = (token.left(now).is_zero(), token.renewal(now)) {
            return match wire.token(client, Grant::Refresh { token: refresh }).await {
                Ok(granted) => wire.logout(&granted.access).await,
                Err(client::GrantError::Aws(error)) => Err(error.into()),
                Err(_) => Ok(false),
            };
        }
        wire.logout(&token.access).await
    }

    /// Keeps the token of a login, unless that was dropped. A renewal of the login before is dropped.
    fn keep_login(&self, session: &SsoSession, ticket: u64, token: Token) -> Result<bool, SsoError> {
        let path = self.path(session);
        let mut slots = self.slots();
        let slot = slots.of(&path);
        if slot.login.as_ref().is_none_or(|login| login.running.ticket != ticket) {
            return Ok(false);
        }
        slot.renewal.take().inspect(|renewal| renewal.task.abort());
        let before = Token::read(&path, session).unwrap_or_default();
        token::save(&path, &token.keeping(before))?;
        slot.kept = Some(ticket);
        Ok(true)
    }

    /// Keeps a renewed token, unless the renewal was dropped, or the file no longer has the token `before` it: another tool
    /// has logged in or out meanwhile, or was faster, and what it did stands. Returns what is in the file from now on.
    fn keep_renewal(
        &self,
        session: &SsoSession,
        ticket: u64,
        before: Fingerprints,
        token: Token,
    ) -> Result<Option<Token>, SsoError> {
        let path = self.path(session);
        let mut slots = self.slots();
        let slot = slots.of(&path);
        if slot.renewal.as_ref().is_none_or(|renewal| renewal.ticket != ticket) {
            return Ok(None);
        }
        match Token::read(&path, session)? {
            Some(found) if found.fingerprints() == before => {
                let token = token.keeping(Some(found));
                token::save(&path, &token).map(|()| Some(token))
            }
            other => Ok(other),
        }
    }

    fn read(&self, session: &SsoSession) -> Result<Option<Token>, SsoError> {
        Token::read(&self.path(session), session)
    }

    fn reject(&self, session: &SsoSession, token: &Token) {
        self.slots().of(&self.path(session)).rejected = Some(fingerprint(&token.access));
    }

    fn path(&self, session: &SsoSession) -> PathBuf {
        token::path(&self.aws().files().logins, session)
    }

    fn aws(&self) -> &Aws {
        &self.0.aws
    }

    /// The time of this machine's clock, by which the file's dates go.
    fn local_now(&self) -> Timestamp {
        let clock = self.aws().clock();
        clock.stamp(clock.now())
    }

    /// The map. It is whole at every unlock, so a panic elsewhere does not spoil it.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sso").finish_non_exhaustive()
    }
}

impl SsoSession {
    /// Whether its tokens are renewed: legacy ones are not, as with the AWS CLI.
    const fn renews(&self) -> bool {
        self.name.is_some()
    }

    /// What a client is registered for.
    fn scopes(&self) -> Vec<String> {
        if self.scopes.is_empty() && self.renews() { vec![DEFAULT_SCOPE.to_owned()] } else { self.scopes.clone() }
    }
}

impl SsoError {
    /// What has to happen for it to end.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::LoginNeeded { .. } | Self::NotLoggedIn | Self::Denied | Self::Expired => ErrorClass::Login,
            Self::NoAssignment | Self::File(_) => ErrorClass::Change,
            Self::Aws(error) => error.kind.class(),
        }
    }

    fn login_needed(why: &str) -> Self {
        Self::LoginNeeded { why: why.to_owned() }
    }
}

impl From<AwsError> for SsoError {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}
