//! The state of the lock.

use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, Hint};
use tokio_util::sync::CancellationToken;

use super::auto_lock::{self, AutoLockReason};
use super::error::LockError;
use super::file::StoredLock;
use super::rate_limit::UnlockRateLimit;
use super::verifier::Verifier;
use crate::config::LockRules;

/// Whether the desktop is followed, which locks the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesktopState {
    /// Whether its events are received.
    pub is_followed: bool,
    /// What does not work, for the user.
    pub problem: Option<ErrorBody>,
}

/// The state of the lock.
#[derive(Debug)]
pub(super) struct LockState {
    pub(super) verifier: Option<Verifier>,
    /// Since when the agent is locked; `None` if it is unlocked.
    pub(super) locked: Option<Timestamp>,
    /// Cancelled when the agent locks.
    pub(super) serving: CancellationToken,
    /// What is wrong with the lock file, if it is damaged. No passphrase can unlock the agent then.
    pub(super) damage: Option<String>,
    /// Why the lock file could not be written, if it could not.
    pub(super) unsaved: Option<String>,
    pub(super) rules: LockRules,
    pub(super) desktop: DesktopState,
    /// When the agent was last used and last unlocked, as time since boot.
    pub(super) used: Duration,
    pub(super) unlocked: Duration,
    pub(super) attempts: UnlockRateLimit,
}

impl LockState {
    /// Returns an unlocked state without a passphrase.
    pub(super) fn unlocked(now: Duration) -> Self {
        Self {
            verifier: None,
            locked: None,
            serving: CancellationToken::new(),
            damage: None,
            unsaved: None,
            rules: LockRules::default(),
            desktop: DesktopState::default(),
            used: now,
            unlocked: now,
            attempts: UnlockRateLimit::default(),
        }
    }

    /// Cancels what is being served if the agent is locked. Returns whether it is locked.
    pub(super) fn cancel_if_locked(&self) -> bool {
        if self.locked.is_some() {
            self.serving.cancel();
        }
        self.locked.is_some()
    }

    /// Unlocks. Returns false if another request has unlocked the agent before: the requests since then hold the current
    /// token, which the next lock has to cancel.
    pub(super) fn unlock(&mut self, now: Duration) -> bool {
        if self.locked.take().is_none() {
            return false;
        }
        (self.used, self.unlocked) = (now, now);
        self.serving = CancellationToken::new();
        true
    }

    /// Returns when the agent locks by itself, and why.
    pub(super) fn auto_lock(&self) -> Option<(Duration, AutoLockReason)> {
        let can_lock = self.locked.is_none() && self.verifier.is_some();
        auto_lock::due(self.rules, self.used, self.unlocked).filter(|_| can_lock)
    }

    /// Returns whether the agent locks with the desktop.
    pub(super) fn locks_with_desktop(&self) -> bool {
        self.desktop.is_followed && self.verifier.is_some()
    }

    /// Logs that nothing could unlock the agent.
    pub(super) fn warn_if_ineffective(&self) {
        if self.is_ineffective() {
            tracing::warn!("[lock] has no effect without a passphrase; set one: rolecall lock --passphrase");
        }
    }

    /// Returns whether an automatic lock is configured but no passphrase is set, so that nothing could unlock the agent.
    pub(super) fn is_ineffective(&self) -> bool {
        self.verifier.is_none() && self.damage.is_none() && self.rules != LockRules::default()
    }

    /// Returns the contents for the lock file; `None` without a passphrase.
    pub(super) fn to_store(&self) -> Option<StoredLock> {
        self.verifier.clone().map(|verifier| StoredLock { verifier, locked: self.locked })
    }

    /// Returns what the user has to fix, if anything.
    pub(super) fn problem(&self, path: &str) -> Option<ErrorBody> {
        let body = |message: String| ErrorBody::new(ErrorCode::ConfigInvalid, message);
        match (&self.damage, &self.unsaved) {
            (Some(cause), _) => Some(LockError::Damaged { path: path.to_owned(), cause: cause.clone() }.body()),
            (None, Some(error)) => {
                let state = if self.locked.is_some() { "locked" } else { "unlocked" };
                let message = format!("cannot save that the agent is {state}, so a restart forgets it: {error}");
                let hint = "Free disk space or fix the folder's permissions, and lock or unlock again.";
                Some(body(message).hint(hint))
            }
            (None, None) if self.is_ineffective() => {
                let message = "[lock] in the configuration has no effect: no passphrase is set";
                Some(body(message.to_owned()).hint(Hint::command("rolecall lock --passphrase")))
            }
            (None, None) => self.desktop.problem.clone(),
        }
    }
}
