//! What is so now.

use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode};
use tokio_util::sync::CancellationToken;

use super::auto_lock::{self, AutoLockReason};
use super::error::LockError;
use super::file::StoredLock;
use super::rate_limit::UnlockRateLimit;
use super::verifier::Verifier;
use crate::config::LockTimes;

/// What is so now.
#[derive(Debug)]
pub(super) struct LockState {
    pub(super) verifier: Option<Verifier>,
    /// Since when it is locked, if it is.
    pub(super) locked: Option<Timestamp>,
    /// Cancelled when it locks.
    pub(super) serving: CancellationToken,
    /// What is wrong with the file, so that nobody can unlock.
    pub(super) damage: Option<String>,
    /// Why the file does not say what is so now.
    pub(super) unsaved: Option<String>,
    pub(super) times: LockTimes,
    /// When it was last used and last unlocked, counted from boot.
    pub(super) used: Duration,
    pub(super) unlocked: Duration,
    pub(super) attempts: UnlockRateLimit,
}

impl LockState {
    /// Unlocked, with nothing that could lock it.
    pub(super) fn open(now: Duration) -> Self {
        Self {
            verifier: None,
            locked: None,
            serving: CancellationToken::new(),
            damage: None,
            unsaved: None,
            times: LockTimes::default(),
            used: now,
            unlocked: now,
            attempts: UnlockRateLimit::default(),
        }
    }

    /// Ends what is served where it is locked, and says whether it is.
    pub(super) fn serve_or_not(&self) -> bool {
        if self.locked.is_some() {
            self.serving.cancel();
        }
        self.locked.is_some()
    }

    /// Serves again. False where it does already, by somebody else's passphrase: what is served since then has its token,
    /// which the next lock has to cancel.
    pub(super) fn reopen(&mut self, now: Duration) -> bool {
        if self.locked.take().is_none() {
            return false;
        }
        (self.used, self.unlocked) = (now, now);
        self.serving = CancellationToken::new();
        true
    }

    pub(super) fn due(&self) -> Option<(Duration, AutoLockReason)> {
        let can_lock = self.locked.is_none() && self.verifier.is_some();
        auto_lock::due(self.times, self.used, self.unlocked).filter(|_| can_lock)
    }

    /// Whether it is to lock by itself and cannot: nothing could unlock it.
    pub(super) fn is_ineffective(&self) -> bool {
        self.verifier.is_none() && self.damage.is_none() && self.times != LockTimes::default()
    }

    pub(super) fn kept(&self) -> Option<StoredLock> {
        self.verifier.clone().map(|verifier| StoredLock { verifier, locked: self.locked })
    }

    pub(super) fn problem(&self, path: &str) -> Option<ErrorBody> {
        let body = |message: String| ErrorBody::new(ErrorCode::ConfigInvalid, message);
        match (&self.damage, &self.unsaved) {
            (Some(why), _) => Some(LockError::Damaged { path: path.to_owned(), why: why.clone() }.body()),
            (None, Some(error)) => {
                let state = if self.locked.is_some() { "locked" } else { "unlocked" };
                let message =
                    format!("that the agent is {state} does not outlast it, since it cannot be kept: {error}");
                Some(body(message).hint("Make room, or mend the folder, and lock or unlock it again."))
            }
            (None, None) if self.is_ineffective() => {
                let message = "[lock] in the configuration has no effect, since there is no passphrase to unlock with";
                Some(body(message.to_owned()).hint("Set one: rolecall lock --passphrase"))
            }
            (None, None) => None,
        }
    }
}
