//! The logins of IAM Identity Center on this machine: the token file of each session, and what AWS said about its tokens.
//!
//! One lock covers each write of a token file, together with the check that the refresh or login which got the token was
//! not cancelled. After a logout, nothing that was under way before it writes a token.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use rolecall_core::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::error::SsoError;
use super::session::SsoSession;
use super::token::{self, Fingerprint, Fingerprints, SsoToken, fingerprint};

/// Sessions that are remembered while nothing is under way for them.
const MAX_SESSIONS: usize = 64;
/// A token with less time left is refreshed. The AWS CLI refreshes at 15 min, so it often comes first.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);
/// A token with less time left counts as expired: the call that uses it takes time, too.
const MIN_TIME_LEFT: Duration = Duration::from_secs(5);

/// Permission to write a session's token file, until it is cancelled. The refresh or login that holds it is under way.
pub(super) type WritePermit = Arc<CancellationToken>;

/// The token files, and what this process knows about them.
pub(super) struct TokenStore {
    /// The folder `~/.aws`.
    folder: PathBuf,
    clock: Clock,
    states: Mutex<States>,
}

/// By token file: AWS profiles that share a login share the file.
#[derive(Default)]
struct States {
    by_file: HashMap<PathBuf, SessionState>,
    logins: u64,
}

#[derive(Default)]
struct SessionState {
    refresh: Weak<CancellationToken>,
    login: Weak<CancellationToken>,
    /// The number of the last login that got a token.
    last_login: Option<u64>,
    /// The access token that the portal rejected before it expired.
    rejected_access: Option<Fingerprint>,
    /// The refresh token that AWS rejected.
    rejected_refresh: Option<Fingerprint>,
}

impl TokenStore {
    pub(super) fn new(folder: PathBuf, clock: Clock) -> Self {
        Self { folder, clock, states: Mutex::default() }
    }

    /// The token file of a session.
    pub(super) fn path(&self, session: &SsoSession) -> PathBuf {
        token::path(&self.folder, session)
    }

    /// Reads the token of a session; `None` if there is no login.
    pub(super) fn read(&self, session: &SsoSession) -> Result<Option<SsoToken>, SsoError> {
        SsoToken::read(&self.path(session), session)
    }

    /// The time of this machine's clock, which the dates in the files are in.
    pub(super) fn local_now(&self) -> Timestamp {
        self.clock.stamp(self.clock.now())
    }

    /// Whether a token is valid and needs no refresh.
    pub(super) fn is_fresh(&self, session: &SsoSession, token: &SsoToken) -> bool {
        token.time_left(self.local_now()) >= REFRESH_BEFORE && !self.is_rejected(session, token)
    }

    /// Whether a token is valid long enough for one call.
    pub(super) fn is_usable(&self, session: &SsoSession, token: &SsoToken) -> bool {
        token.time_left(self.local_now()) > MIN_TIME_LEFT && !self.is_rejected(session, token)
    }

    fn is_rejected(&self, session: &SsoSession, token: &SsoToken) -> bool {
        let states = self.states();
        let state = states.by_file.get(&self.path(session));
        state.is_some_and(|state| state.rejected_access == Some(fingerprint(&token.access)))
    }

    /// Whether a token can be refreshed: it has a refresh token that AWS has not rejected.
    pub(super) fn can_refresh(&self, session: &SsoSession, token: &SsoToken) -> bool {
        let Some((_, refresh)) = token.refresh_grant(self.local_now()).filter(|_| session.refreshes()) else {
            return false;
        };
        let states = self.states();
        let state = states.by_file.get(&self.path(session));
        state.is_none_or(|state| state.rejected_refresh != Some(fingerprint(refresh)))
    }

    /// Records that the portal rejected the access token.
    pub(super) fn reject_access(&self, session: &SsoSession, token: &SsoToken) {
        self.states().of(self.path(session)).rejected_access = Some(fingerprint(&token.access));
    }

    /// Records that AWS rejected the refresh token.
    pub(super) fn reject_refresh(&self, session: &SsoSession, token: &SsoToken) {
        self.states().of(self.path(session)).rejected_refresh = token.refresh.as_ref().map(fingerprint);
    }

    /// The number of the last login of this process; `None` if there was none.
    pub(super) fn last_login(&self, session: &SsoSession) -> Option<u64> {
        self.states().by_file.get(&self.path(session))?.last_login
    }

    /// The permit of the refresh under way, or a new one.
    pub(super) fn refresh_permit(&self, session: &SsoSession) -> WritePermit {
        let mut states = self.states();
        let state = states.of(self.path(session));
        let current = state.refresh.upgrade().filter(|permit| !permit.is_cancelled());
        current.unwrap_or_else(|| {
            let permit = WritePermit::default();
            state.refresh = Arc::downgrade(&permit);
            permit
        })
    }

    /// A permit for a new login. Cancels the login under way.
    pub(super) fn begin_login(&self, session: &SsoSession) -> WritePermit {
        let mut states = self.states();
        let state = states.of(self.path(session));
        cancel(&state.login);
        let permit = WritePermit::default();
        state.login = Arc::downgrade(&permit);
        permit
    }

    /// Writes the token of a login, and cancels the refresh of the token before it. Errors if the login was cancelled or
    /// the file cannot be written.
    pub(super) fn save_login(
        &self,
        session: &SsoSession,
        permit: &WritePermit,
        token: SsoToken,
    ) -> Result<(), SsoError> {
        let path = self.path(session);
        let mut states = self.states();
        if permit.is_cancelled() {
            return Err(SsoError::cancelled());
        }
        let number = states.logins + 1;
        let state = states.of(path.clone());
        cancel(&state.refresh);
        let before = SsoToken::read(&path, session).unwrap_or_default();
        token::save(&path, &token.with_other_fields_of(before))?;
        state.last_login = Some(number);
        states.logins = number;
        Ok(())
    }

    /// Writes a refreshed token if the refresh was not cancelled and the file still holds the token `before` it. Otherwise
    /// another tool logged in, logged out or refreshed the token first, and the file stays as it is.
    pub(super) fn save_refreshed(
        &self,
        session: &SsoSession,
        permit: &WritePermit,
        before: Fingerprints,
        token: SsoToken,
    ) -> Result<(), SsoError> {
        let path = self.path(session);
        let _states = self.states();
        if permit.is_cancelled() {
            return Err(SsoError::cancelled());
        }
        match SsoToken::read(&path, session)? {
            Some(found) if found.fingerprints() == before => {
                token::save(&path, &token.with_other_fields_of(Some(found)))
            }
            _ => Ok(()),
        }
    }

    /// Deletes the token file and cancels what is under way for the session. Returns the token that was in the file.
    pub(super) fn delete(&self, session: &SsoSession) -> Result<Option<SsoToken>, SsoError> {
        let path = self.path(session);
        let mut states = self.states();
        if let Some(state) = states.by_file.remove(&path) {
            cancel(&state.refresh);
            cancel(&state.login);
        }
        // An unreadable file is deleted, too.
        let token = SsoToken::read(&path, session).unwrap_or_default();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(SsoError::File(format!("cannot delete {}: {error}", path.display())))
            }
            _ => Ok(token),
        }
    }

    /// Cancels every refresh that is under way.
    pub(super) fn cancel_refreshes(&self) {
        for state in self.states().by_file.values() {
            cancel(&state.refresh);
        }
    }

    /// A panic elsewhere leaves the map whole: every change of it is complete before the next call that may panic.
    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    /// The state of a token file, created if absent. At [`MAX_SESSIONS`], sessions with nothing under way are dropped: one
    /// call to AWS finds again what was known about their tokens.
    fn of(&mut self, file: PathBuf) -> &mut SessionState {
        if self.by_file.len() >= MAX_SESSIONS && !self.by_file.contains_key(&file) {
            self.by_file.retain(|_, state| state.is_busy());
        }
        self.by_file.entry(file).or_default()
    }
}

impl SessionState {
    fn is_busy(&self) -> bool {
        self.refresh.strong_count() + self.login.strong_count() > 0
    }
}

fn cancel(permit: &Weak<CancellationToken>) {
    if let Some(permit) = permit.upgrade() {
        permit.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_at_capacity_keep_busy_sessions() {
        let mut states = States::default();
        let file = |number: usize| PathBuf::from(format!("{number}.json"));
        let permit = WritePermit::default();
        states.of(file(0)).refresh = Arc::downgrade(&permit);
        for number in 1..10 * MAX_SESSIONS {
            states.of(file(number)).rejected_refresh = Some([0; 32]);
            assert!(states.by_file.len() <= MAX_SESSIONS, "{number}");
            assert!(states.of(file(number)).rejected_refresh.is_some(), "{number}");
        }
        assert!(states.of(file(0)).is_busy());
    }
}
