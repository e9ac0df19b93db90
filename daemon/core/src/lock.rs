//! Whether the daemon serves. Locked, nothing is served until somebody gives the passphrase (K1); and it locks by itself, after
//! a time without use and a time at most (K2).
//!
//! What is kept tells a passphrase and does not hold it: see `verifier`. This knows neither sessions nor AWS; what there is to
//! forget when it locks, and what to begin again with, its owner says.

mod auto_lock;
mod error;
mod file;
mod rate_limit;
mod state;
mod verifier;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, LockStatus, Secret};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::LockTimes;
pub use auto_lock::AutoLockReason;
pub use error::LockError;
use file::StoredLock;
pub use rate_limit::ClientId;
use state::LockState;
use verifier::Verifier;

/// The lock. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Lock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    state: Mutex<LockState>,
    /// The file, if there is a folder for it.
    path: OnceLock<PathBuf>,
    /// Held while it is written, so that what was so last is written last.
    disk: Mutex<()>,
    /// Deriving a key takes memory and a processor: one at a time.
    turn: Arc<Semaphore>,
    changed: Notify,
}

/// What the next run of the program goes on with. Times are counted from boot, which it is the same for.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct LockTimers {
    locked: Option<Timestamp>,
    used: Duration,
    unlocked: Duration,
}

/// A place among those who wait; given back when dropped.
struct Waiter {
    lock: Lock,
    client: ClientId,
    wait: Duration,
}

impl Lock {
    /// A lock that is open and has no passphrase.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let now = clock.elapsed();
        let state = LockState::open(now);
        let turn = Arc::new(Semaphore::new(1));
        let (state, changed) = (Mutex::new(state), Notify::new());
        Self(Arc::new(Inner { clock, state, path: OnceLock::new(), disk: Mutex::default(), turn, changed }))
    }

    /// Goes by what was kept in `path`, and keeps it there from now on. True where it is locked.
    pub fn load(&self, path: PathBuf) -> bool {
        let read = file::read(self.0.path.get_or_init(|| path));
        let mut state = self.state();
        match read {
            Ok(kept) => {
                let (verifier, locked) = kept.map(|kept| (kept.verifier, kept.locked)).unzip();
                (state.verifier, state.locked) = (verifier, locked.flatten());
            }
            Err(why) => {
                tracing::error!(why, "The lock's file is damaged; locked until it is removed");
                (state.verifier, state.damage) = (None, Some(why));
                state.locked = Some(self.stamp());
            }
        }
        state.serve_or_not()
    }

    /// Goes by other times.
    pub fn configure(&self, times: LockTimes) {
        let mut state = self.state();
        if std::mem::replace(&mut state.times, times) != times && state.is_ineffective() {
            tracing::warn!("[lock] has no effect until there is a passphrase: rolecall lock --passphrase");
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

    /// Why it is about to lock, if its time has come.
    #[must_use]
    pub fn auto_lock_due(&self) -> Option<AutoLockReason> {
        let state = self.state();
        let (at, why) = state.due()?;
        (at <= self.0.clock.elapsed()).then_some(why)
    }

    /// How long until it locks by itself, unless it is used before; `None` where it does not.
    #[must_use]
    pub fn until_auto_lock(&self) -> Option<Duration> {
        let (at, _) = self.state().due()?;
        Some(at.saturating_sub(self.0.clock.elapsed()))
    }

    /// When [`Lock::until_auto_lock`] may have another answer than time alone gives. For one who waits.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Locks, and has its owner forget what there is before anybody can unlock again. False where it was locked, or where
    /// nothing could unlock it. [`Lock::save`] is to follow.
    pub fn lock(&self, forget: impl FnOnce()) -> Result<bool, LockError> {
        let mut state = self.state();
        if state.locked.is_some() {
            return Ok(false);
        }
        if state.verifier.is_none() {
            return Err(LockError::NoPassphrase);
        }
        state.locked = Some(self.stamp());
        state.serve_or_not();
        forget();
        drop(state);
        self.0.changed.notify_waiters();
        Ok(true)
    }

    /// Unlocks with the right passphrase, and has its owner begin again. True where that has unlocked it.
    pub async fn unlock(
        &self,
        passphrase: Secret<String>,
        client: ClientId,
        begin: impl FnOnce(),
    ) -> Result<bool, LockError> {
        if self.state().locked.is_none() {
            return Ok(false);
        }
        self.look_again().await?;
        if self.state().verifier.is_some() {
            self.check(passphrase, client).await?;
        }
        let is_new = self.reopen(begin);
        self.save().await;
        Ok(is_new)
    }

    fn reopen(&self, begin: impl FnOnce()) -> bool {
        let mut state = self.state();
        let is_new = state.reopen(self.0.clock.elapsed());
        if is_new {
            begin();
        }
        drop(state);
        self.0.changed.notify_waiters();
        is_new
    }

    /// Sets the passphrase. Where there is one, `old` has to be it.
    pub async fn set_passphrase(
        &self,
        passphrase: Secret<String>,
        old: Option<Secret<String>>,
        client: ClientId,
    ) -> Result<(), LockError> {
        if !verifier::is_acceptable(&passphrase) {
            return Err(LockError::Length);
        }
        self.damage().map_or(Ok(()), Err)?;
        let present = self.state().verifier.clone();
        match (&present, old) {
            (Some(_), Some(old)) => self.check(old, client).await?,
            (Some(_), None) => return Err(LockError::Present),
            (None, _) => {}
        }
        let lock = self.clone();
        let permit = Arc::clone(&self.0.turn).acquire_owned().await.map_err(failed)?;
        let set = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lock.replace(present.as_ref(), Verifier::new(&passphrase).map_err(LockError::Failed)?)
        });
        set.await.map_err(failed)??;
        self.0.changed.notify_waiters();
        Ok(())
    }

    /// Writes down what is so now, in a thread that may wait for the disk. What cannot be written is told by
    /// [`Lock::status`]: whoever locks wants it locked, disk or no disk.
    pub async fn save(&self) {
        let lock = self.clone();
        // Fails where the runtime ends, and then nobody asks.
        drop(tokio::task::spawn_blocking(move || lock.save_now()).await);
    }

    /// The same at once, by whoever asks.
    pub fn save_now(&self) {
        let _disk = self.disk();
        let kept = self.state().kept();
        let written = match (self.path(), kept) {
            (_, None) => Ok(()),
            (None, Some(_)) => Err("there is no folder for it".to_owned()),
            (Some(path), Some(kept)) => {
                file::write(path, &kept).map_err(|error| format!("{}: {error}", path.display()))
            }
        };
        if let Err(error) = &written {
            tracing::error!(error, "Whether the agent is locked cannot be written down");
        }
        self.state().unsaved = written.err();
    }

    /// What there is to tell.
    #[must_use]
    pub fn status(&self) -> LockStatus {
        let clock = &self.0.clock;
        let left = self.until_auto_lock();
        let state = self.state();
        LockStatus {
            locked: state.locked.is_some(),
            since: state.locked,
            has_passphrase: state.verifier.is_some(),
            auto_lock_at: left.map(|left| clock.stamp(clock.now() + left)),
            problem: state.problem(&self.shown()),
        }
    }

    /// What the next run of the program goes on with.
    #[must_use]
    pub fn timers(&self) -> LockTimers {
        let state = self.state();
        LockTimers { locked: state.locked, used: state.used, unlocked: state.unlocked }
    }

    /// Goes on where the run before was. True where it is locked, which the file may not say.
    pub fn resume(&self, timers: LockTimers) -> bool {
        let (mut state, now) = (self.state(), self.0.clock.elapsed());
        state.used = timers.used.min(now);
        state.unlocked = timers.unlocked.min(now);
        state.locked = state.locked.or(timers.locked);
        state.serve_or_not()
    }

    /// Why nothing is served.
    #[must_use]
    pub fn locked_error(&self) -> ErrorBody {
        match self.damage() {
            Some(damaged) => damaged.body(),
            None => ErrorBody::new(ErrorCode::Locked, "the agent is locked").hint("Run: rolecall unlock"),
        }
    }

    /// How many wrong passphrases were given in a row.
    #[must_use]
    pub fn failed_attempts(&self) -> u32 {
        self.state().attempts.failures()
    }

    /// Whether it is the passphrase. A wrong one is answered late, see `attempts`; everybody else goes on meanwhile.
    async fn check(&self, passphrase: Secret<String>, client: ClientId) -> Result<(), LockError> {
        let place = self.place(client).map_err(LockError::Busy)?;
        if !place.wait.is_zero() {
            tokio::time::sleep(place.wait).await;
        }
        let permit = Arc::clone(&self.0.turn).acquire_owned().await.map_err(failed)?;
        let lock = self.clone();
        // Counted in there: who does not wait for the answer has tried as well.
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lock.compare(&passphrase)
        });
        match checked.await.map_err(failed)? {
            Ok(()) => Ok(()),
            Err(pause) => {
                tokio::time::sleep(pause).await;
                Err(LockError::Wrong)
            }
        }
    }

    fn compare(&self, passphrase: &Secret<String>) -> Result<(), Duration> {
        let verifier = self.state().verifier.clone();
        let is_right = verifier.is_some_and(|verifier| verifier.matches(passphrase));
        let now = self.0.clock.elapsed();
        let attempts = &mut self.state().attempts;
        if is_right {
            attempts.succeeded();
            Ok(())
        } else {
            Err(attempts.failed(now))
        }
    }

    /// Puts a verifier in place of `present`, on the disk first.
    fn replace(&self, present: Option<&Verifier>, verifier: Verifier) -> Result<(), LockError> {
        let _disk = self.disk();
        let (is_present, locked) = {
            let state = self.state();
            (state.verifier.as_ref() == present, state.locked)
        };
        if !is_present {
            return Err(LockError::Present); // somebody was quicker
        }
        let kept = StoredLock { verifier, locked };
        if let Some(path) = self.path() {
            let unsaved = |error| LockError::Unsaved(format!("{}: {error}", path.display()));
            file::write(path, &kept).map_err(unsaved)?;
        }
        self.state().verifier = Some(kept.verifier);
        Ok(())
    }

    /// Whether a file that was damaged still is. Whoever removed it goes on without a passphrase.
    async fn look_again(&self) -> Result<(), LockError> {
        if self.damage().is_none() {
            return Ok(());
        }
        let own = self.clone();
        let look = move || {
            let read = own.path().map_or(Ok(None), file::read);
            let mut state = own.state();
            // Locked it stays, for whoever asked to unlock.
            match read {
                Ok(kept) => (state.verifier, state.damage) = (kept.map(|kept| kept.verifier), None),
                Err(why) => state.damage = Some(why),
            }
        };
        tokio::task::spawn_blocking(look).await.map_err(failed)?;
        self.damage().map_or(Ok(()), Err)
    }

    fn damage(&self) -> Option<LockError> {
        let why = self.state().damage.clone()?;
        Some(LockError::Damaged { path: self.shown(), why })
    }

    fn place(&self, client: ClientId) -> Result<Waiter, Duration> {
        let wait = self.state().attempts.enter(client, self.0.clock.elapsed())?;
        Ok(Waiter { lock: self.clone(), client, wait })
    }

    fn path(&self) -> Option<&Path> {
        self.0.path.get().map(PathBuf::as_path)
    }

    fn shown(&self) -> String {
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

impl Drop for Waiter {
    fn drop(&mut self) {
        self.lock.state().attempts.leave(self.client);
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn failed(error: impl std::fmt::Display) -> LockError {
    LockError::Failed(error.to_string())
}

#[cfg(test)]
mod tests;
