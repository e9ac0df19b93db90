//! The lock of the agent. A locked agent serves no session and no token until the user enters the passphrase (K1). It locks by
//! itself after a time without use, after a maximal time, and with the desktop (K2).
//!
//! The lock file holds a hash of the passphrase, not the passphrase: see `verifier`. This module knows neither sessions nor
//! AWS. Its owner passes what to drop on locking and what to start on unlocking.

mod auto_lock;
mod error;
mod file;
mod passphrase;
mod rate_limit;
mod state;
mod verifier;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, Hint, LockStatus, Secret};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::LockRules;
pub use auto_lock::AutoLockReason;
pub use error::LockError;
use rate_limit::Failures;
pub use rate_limit::LockClient;
pub use state::DesktopState;
use state::LockState;

/// The lock of the agent. Clones share one state.
#[derive(Debug, Clone)]
pub struct Lock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    state: Mutex<LockState>,
    /// The path of the lock file; unset without a state folder.
    path: OnceLock<PathBuf>,
    /// Held during a write of the file, so that the latest state is written last.
    disk: Mutex<()>,
    /// Permits one Argon2 computation at a time, because each takes memory and a processor.
    hashing: Arc<Semaphore>,
    changed: Notify,
}

/// The state for the process that replaces this one on restart. Times are counted from boot.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct LockTimers {
    locked: Option<Timestamp>,
    used: Duration,
    unlocked: Duration,
    /// Absent in the state of a program that does not know it.
    #[serde(default)]
    failures: Failures,
}

impl Lock {
    /// Returns an unlocked lock without a passphrase.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let state = Mutex::new(LockState::unlocked(clock.elapsed()));
        let (hashing, changed) = (Arc::new(Semaphore::new(1)), Notify::new());
        Self(Arc::new(Inner { clock, state, path: OnceLock::new(), disk: Mutex::default(), hashing, changed }))
    }

    /// Reads the lock file and writes later changes to it. If the file is damaged, the agent is locked. Returns whether it is
    /// locked.
    pub fn load(&self, path: PathBuf) -> bool {
        let read = file::read(self.0.path.get_or_init(|| path));
        let mut state = self.state();
        match read {
            Ok(stored) => {
                let (verifier, locked) = stored.map(|stored| (stored.verifier, stored.locked)).unzip();
                (state.verifier, state.locked) = (verifier, locked.flatten());
            }
            Err(cause) => {
                tracing::error!(cause, "lock file damaged; agent locked until the file is removed");
                (state.verifier, state.damage) = (None, Some(cause));
                state.locked = Some(self.stamp());
            }
        }
        state.warn_if_ineffective();
        state.cancel_if_locked()
    }

    /// Applies `[lock]`.
    pub fn configure(&self, rules: LockRules) {
        let mut state = self.state();
        // Before the lock file is read, it is not known whether there is a passphrase.
        if std::mem::replace(&mut state.rules, rules) != rules && self.path().is_some() {
            state.warn_if_ineffective();
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Returns a token that is cancelled when the agent locks, or `None` if it is locked. Does not count as a use.
    #[must_use]
    pub fn serving(&self) -> Option<CancellationToken> {
        let state = self.state();
        state.locked.is_none().then(|| state.serving.clone())
    }

    /// Records a use now: the idle time of `[lock] idle` starts again. Does nothing while the agent is locked.
    pub fn record_use(&self) {
        let mut state = self.state();
        if state.locked.is_none() {
            // Also where no idle time is set: the configuration may set one later.
            state.used = self.0.clock.elapsed();
        }
    }

    /// Returns why the agent has to lock now; `None` if no limit is reached.
    #[must_use]
    pub fn auto_lock_due(&self) -> Option<AutoLockReason> {
        let state = self.state();
        let (at, reason) = state.auto_lock()?;
        (at <= self.0.clock.elapsed()).then_some(reason)
    }

    /// Returns the time until the agent locks by itself if it is not used; `None` if it never does.
    #[must_use]
    pub fn until_auto_lock(&self) -> Option<Duration> {
        let (at, _) = self.state().auto_lock()?;
        Some(at.saturating_sub(self.0.clock.elapsed()))
    }

    /// Waits until the result of [`Lock::until_auto_lock`] may have changed for another reason than time.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Returns when the agent locks by itself.
    #[must_use]
    pub fn rules(&self) -> LockRules {
        self.state().rules
    }

    /// Waits until the rules are others than the `known` ones.
    pub async fn rules_changed(&self, known: LockRules) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable(); // before the check, so that no change is missed
            if self.rules() != known {
                return;
            }
            changed.await;
        }
    }

    /// Records whether the desktop is followed. Returns whether this is new.
    pub fn set_desktop(&self, desktop: DesktopState) -> bool {
        let mut state = self.state();
        let is_new = state.desktop != desktop;
        state.desktop = desktop;
        is_new
    }

    /// Locks and calls `drop_secrets` before the agent can be unlocked again. Returns false if it was locked already. Errors
    /// with [`LockError::NoPassphrase`] if nothing could unlock it. The caller calls [`Lock::save`] afterwards.
    pub fn lock(&self, drop_secrets: impl FnOnce()) -> Result<bool, LockError> {
        let mut state = self.state();
        if state.locked.is_some() {
            return Ok(false);
        }
        if state.verifier.is_none() {
            return Err(LockError::NoPassphrase);
        }
        state.locked = Some(self.stamp());
        state.cancel_if_locked();
        drop_secrets();
        drop(state);
        self.0.changed.notify_waiters();
        Ok(true)
    }

    /// Unlocks with the right passphrase and calls `start`. Returns whether this call has unlocked the agent. Errors if the
    /// passphrase is wrong, too many attempts wait, or the lock file is damaged.
    pub async fn unlock(
        &self,
        passphrase: Secret<String>,
        client: LockClient,
        start: impl FnOnce(),
    ) -> Result<bool, LockError> {
        if self.state().locked.is_none() {
            return Ok(false);
        }
        self.reread_damaged_file().await?;
        if self.state().verifier.is_some() {
            self.check(passphrase, client).await?;
        }
        let is_new = self.unlock_now(start);
        self.save().await;
        Ok(is_new)
    }

    fn unlock_now(&self, start: impl FnOnce()) -> bool {
        let mut state = self.state();
        let is_new = state.unlock(self.0.clock.elapsed());
        if is_new {
            start();
        }
        drop(state);
        self.0.changed.notify_waiters();
        is_new
    }

    /// Writes the lock file on a blocking thread. The agent stays locked or unlocked if that fails; [`Lock::status`] has the
    /// error then.
    pub async fn save(&self) {
        let lock = self.clone();
        // Fails only if the runtime shuts down.
        drop(tokio::task::spawn_blocking(move || lock.save_now()).await);
    }

    /// Writes the lock file on the calling thread. Otherwise as [`Lock::save`].
    pub fn save_now(&self) {
        let _disk = self.disk();
        let stored = self.state().to_store();
        let written = match (self.path(), stored) {
            (_, None) => Ok(()),
            (None, Some(_)) => Err("no state folder".to_owned()),
            (Some(path), Some(stored)) => {
                file::save(path, &stored).map_err(|error| format!("{}: {error}", path.display()))
            }
        };
        if let Err(error) = &written {
            tracing::error!(error, "lock file not written");
        }
        self.state().unsaved = written.err();
    }

    /// Returns the status for the user.
    #[must_use]
    pub fn status(&self) -> LockStatus {
        let clock = &self.0.clock;
        let remaining = self.until_auto_lock();
        let state = self.state();
        LockStatus {
            locked: state.locked.is_some(),
            since: state.locked,
            has_passphrase: state.verifier.is_some(),
            auto_lock_at: remaining.map(|remaining| clock.stamp(clock.now() + remaining)),
            with_desktop: state.locks_with_desktop(),
            problem: state.problem(&self.path_text()),
        }
    }

    /// Returns the state for the process that replaces this one.
    #[must_use]
    pub fn timers(&self) -> LockTimers {
        let state = self.state();
        let failures = state.attempts.snapshot();
        LockTimers { locked: state.locked, used: state.used, unlocked: state.unlocked, failures }
    }

    /// Continues with the state of the process before. Returns whether the agent is locked, which the lock file may not have
    /// if it could not be written.
    pub fn resume(&self, timers: LockTimers) -> bool {
        let (mut state, now) = (self.state(), self.0.clock.elapsed());
        state.used = timers.used.min(now);
        state.unlocked = timers.unlocked.min(now);
        state.attempts.resume(timers.failures, now);
        state.locked = state.locked.or(timers.locked);
        state.cancel_if_locked()
    }

    /// Returns the error for requests to a locked agent.
    #[must_use]
    pub fn locked_error(&self) -> ErrorBody {
        match self.damage() {
            Some(error) => error.body(),
            None => ErrorBody::new(ErrorCode::Locked, "the agent is locked").hint(Hint::command("rolecall unlock")),
        }
    }

    /// Returns the number of wrong passphrases in a row.
    #[must_use]
    pub fn failed_attempts(&self) -> u32 {
        self.state().attempts.failures()
    }

    /// Reads a damaged lock file again. Errors if it still is damaged. If the user has removed it, there is no passphrase.
    async fn reread_damaged_file(&self) -> Result<(), LockError> {
        if self.damage().is_none() {
            return Ok(());
        }
        let lock = self.clone();
        let reread = move || {
            let read = lock.path().map_or(Ok(None), file::read);
            // The agent stays locked until the caller unlocks it.
            let mut state = lock.state();
            match read {
                Ok(stored) => (state.verifier, state.damage) = (stored.map(|stored| stored.verifier), None),
                Err(cause) => state.damage = Some(cause),
            }
        };
        tokio::task::spawn_blocking(reread).await.map_err(failed)?;
        self.damage().map_or(Ok(()), Err)
    }

    fn damage(&self) -> Option<LockError> {
        let cause = self.state().damage.clone()?;
        Some(LockError::Damaged { path: self.path_text(), cause })
    }

    fn path(&self) -> Option<&Path> {
        self.0.path.get().map(PathBuf::as_path)
    }

    fn path_text(&self) -> String {
        self.path().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn stamp(&self) -> Timestamp {
        self.0.clock.stamp(self.0.clock.now())
    }

    fn state(&self) -> MutexGuard<'_, LockState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn failed(error: impl std::fmt::Display) -> LockError {
    LockError::Failed(error.to_string())
}

#[cfg(test)]
mod tests;
