//! Refreshing a token without the user: one CreateToken call, shared by all roles and profiles that wait for it.
//!
//! The token file is the only place that holds a token. A refresh returns nothing: its callers read the file again.

use std::path::PathBuf;
use std::sync::Arc;

use rolecall_core::single_flight::Cache;

use super::client::{Grant, GrantError, SsoClient};
use super::error::SsoError;
use super::session::SsoSession;
use super::store::{TokenStore, WritePermit};
use super::token;
use crate::client::Aws;

/// Refreshes tokens, at most one at a time for each token file.
#[derive(Clone)]
pub(super) struct Refresher {
    aws: Aws,
    store: Arc<TokenStore>,
    in_flight: Arc<Cache<PathBuf, (), SsoError>>,
}

impl Refresher {
    pub(super) fn new(aws: Aws, store: Arc<TokenStore>) -> Self {
        let in_flight = Cache::new(aws.clock().clone(), |_| {});
        Self { aws, store, in_flight }
    }

    /// Returns the token of the file, refreshed first if it has less than 5 min left. A token that is still valid is
    /// returned if its refresh fails.
    pub(super) async fn valid_token(&self, session: &SsoSession) -> Result<token::SsoToken, SsoError> {
        let Some(token) = self.store.read(session)? else {
            return Err(SsoError::NotLoggedIn);
        };
        if self.store.is_fresh(session, &token) {
            return Ok(token);
        }
        let outcome = self.refresh(session).await;
        match (self.store.read(session)?, outcome) {
            // Also after a failure: a login may have cancelled the refresh, or another tool may have refreshed first.
            (Some(newer), _) if self.store.is_fresh(session, &newer) => Ok(newer),
            (Some(newer), Ok(())) if self.store.is_usable(session, &newer) => Ok(newer),
            (Some(_), Ok(())) => Err(expired()),
            (None, Ok(())) => Err(SsoError::login_needed("logged out")),
            (_, Err(_)) if self.store.is_usable(session, &token) => Ok(token),
            (_, Err(error)) => Err(error),
        }
    }

    /// Waits for the refresh under way, or starts one. It continues without its callers.
    async fn refresh(&self, session: &SsoSession) -> Result<(), SsoError> {
        let permit = self.store.refresh_permit(session);
        let load = self.in_flight.get_or_start(&self.store.path(session), || {
            let (refresher, session) = (self.clone(), session.clone());
            async move {
                let refresh = Box::pin(refresher.refresh_file(&session, &permit));
                permit.run_until_cancelled(refresh).await.unwrap_or_else(|| Err(SsoError::cancelled()))
            }
        });
        load.wait().await.map(drop).map_err(SsoError::from)
    }

    /// Refreshes the token in the file, unless another caller or tool did so in the meantime.
    async fn refresh_file(&self, session: &SsoSession, permit: &WritePermit) -> Result<(), SsoError> {
        let Some(token) = self.store.read(session)? else {
            return Err(SsoError::NotLoggedIn);
        };
        if self.store.is_fresh(session, &token) {
            return Ok(());
        }
        if !self.store.can_refresh(session, &token) {
            return Err(expired());
        }
        let Some((client, refresh)) = token.refresh_grant(self.store.local_now()) else { return Err(expired()) };
        // Before the call: it uses up the refresh token, so the new one has to be saved.
        token::ensure_writable(&self.store.path(session))?;
        let granted = SsoClient::new(&self.aws, session).create_token(client, Grant::Refresh { token: refresh }).await;
        match granted {
            Ok(granted) => {
                let before = token.fingerprints();
                let token = token.refreshed(session, granted, self.store.local_now());
                self.store.save_refreshed(session, permit, before, token)
            }
            Err(GrantError::Refused(_) | GrantError::Expired | GrantError::Denied) => {
                // The AWS CLI may have used the same refresh token a moment earlier.
                match self.store.read(session)? {
                    Some(newer) if self.store.is_fresh(session, &newer) => Ok(()),
                    _ => {
                        self.store.reject_refresh(session, &token);
                        Err(expired())
                    }
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets the refresh under way for a session, after the store has cancelled it.
    pub(super) fn forget(&self, session: &SsoSession) {
        let path = self.store.path(session);
        self.in_flight.retain(|other| *other != path);
    }

    /// Cancels every refresh. None of them writes a token afterwards.
    pub(super) fn cancel_all(&self) {
        // In this order: a refresh that starts in between is cancelled too.
        self.in_flight.retain(|_| false);
        self.store.cancel_refreshes();
    }
}

fn expired() -> SsoError {
    SsoError::login_needed("the login expired")
}
