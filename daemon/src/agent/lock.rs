//! Locking the agent: what is forgotten then, and that nothing is served.

use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::{EventKind, LockRequest, LockStatus, ProfileName, UnlockRequest};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentError, ClientProcess};
use rolecall_core::clock::next_minute;
use rolecall_core::lock::{AutoLockReason, LockError};

/// Who locks or unlocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Locker {
    /// The client's process, for the log.
    pub pid: Option<u32>,
    /// The process that runs it: those of one are one who tries.
    pub client_process: Option<ClientProcess>,
}

impl Agent {
    /// Goes by what is kept of the lock in that file, and keeps it there.
    pub fn keep_lock_in(&self, file: PathBuf) {
        if self.lock.load(file) {
            self.sessions.close();
            tracing::info!("The agent is locked, as it was before");
        }
    }

    /// Sets the passphrase if there is another, and locks unless it is only to be set.
    pub async fn lock(&self, request: LockRequest, who: Locker) -> Result<LockStatus, AgentError> {
        if let Some(passphrase) = request.passphrase {
            let set = self.lock.set_passphrase(passphrase, request.old, who.client_id()).await;
            set.map_err(|refused| self.refused("The passphrase stays", &refused, who))?;
            tracing::info!(pid = who.pid, "The passphrase was set");
            self.tell(EventKind::Lock);
        }
        if !request.only_set {
            let is_new = self.close().map_err(|refused| AgentError(refused.body()))?;
            if is_new {
                tracing::info!(pid = who.pid, "Locked");
            }
            // Once more where it is locked already: it may be what could not be kept before.
            self.lock.save().await;
        }
        Ok(self.lock.status())
    }

    /// Serves again, if the passphrase is the right one.
    pub async fn unlock(&self, request: UnlockRequest, who: Locker) -> Result<LockStatus, AgentError> {
        let unlocked = self.lock.unlock(request.passphrase, who.client_id(), || self.sessions.reopen()).await;
        if unlocked.map_err(|refused| self.refused("Not unlocked", &refused, who))? {
            tracing::info!(pid = who.pid, "Unlocked");
            self.tell(EventKind::Lock);
        }
        Ok(self.lock.status())
    }

    /// Locks when it is time, until `stop`.
    pub async fn lock_in_time(&self, stop: CancellationToken) {
        loop {
            self.lock_if_due();
            let left = self.lock.until_auto_lock();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lock.changed() => {}
                // With everybody else who looks now and then, but no later than it is due.
                () = tokio::time::sleep_until(look(left)), if left.is_some() => {}
            }
        }
    }

    /// Errors with `locked` if the agent is locked. Does not count as a use: status, notifications and logins ask this too.
    pub fn check_unlocked(&self) -> Result<(), AgentError> {
        self.lock_if_due();
        match self.lock.serving() {
            Some(_) => Ok(()),
            None => Err(AgentError(self.lock.locked_error())),
        }
    }

    /// Runs a request that needs a session, and counts it as a use of the agent. Errors with `locked` if the agent is locked or
    /// becomes locked before the request is done.
    pub(super) async fn while_unlocked<T>(
        &self,
        name: &ProfileName,
        work: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        self.lock_if_due();
        let locked = || AgentError::new(name, self.lock.locked_error());
        let serving = self.lock.serving().ok_or_else(locked)?;
        self.lock.record_use();
        let done = tokio::select! {
            biased; // most of the work is done at once
            done = work => Some(done),
            () = serving.cancelled() => None,
        };
        if let Some(done) = done.filter(|_| !serving.is_cancelled()) {
            return done;
        }
        // It may have been minted in the very moment in which all were forgotten.
        self.tokens.retain(|_, _| false);
        Err(locked())
    }

    /// Locks if its time has come, which nobody may have noticed yet: timers do not count the time that a laptop sleeps.
    pub(super) fn lock_if_due(&self) {
        let Some(why) = self.lock.auto_lock_due() else { return };
        if !matches!(self.close(), Ok(true)) {
            return;
        }
        match why {
            AutoLockReason::Idle(time) => {
                tracing::info!(minutes = time.as_secs() / 60, "Locked by itself: not used for so long")
            }
            AutoLockReason::Max(time) => {
                tracing::info!(minutes = time.as_secs() / 60, "Locked by itself: unlocked for so long")
            }
        }
        let lock = self.lock.clone();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || lock.save_now())),
            Err(_) => lock.save_now(),
        }
    }

    /// Locks, and forgets every session and everything that was made with one. False where it was locked already.
    fn close(&self) -> Result<bool, LockError> {
        let forget = || {
            self.sessions.close();
            self.tokens.retain(|_, _| false);
        };
        let is_new = self.lock.lock(forget)?;
        if is_new {
            if let Some(renewer) = self.renewer.get() {
                renewer.config_changed();
            }
            self.tell(EventKind::Lock);
        }
        Ok(is_new)
    }

    fn refused(&self, what: &str, refused: &LockError, who: Locker) -> AgentError {
        match refused {
            LockError::Wrong => {
                tracing::warn!(pid = who.pid, failures = self.lock.failed_attempts(), "{what}: a wrong passphrase");
            }
            other => tracing::info!(pid = who.pid, reason = %other, "{what}"),
        }
        AgentError(refused.body())
    }
}

impl Locker {
    fn client_id(self) -> rolecall_core::lock::ClientId {
        self.client_process
            .map(|client_process| (client_process.pid, client_process.started))
            .or_else(|| self.pid.map(|pid| (pid, 0)))
    }
}

fn look(left: Option<Duration>) -> Instant {
    let tick = next_minute();
    left.map_or(tick, |left| tick.min(Instant::now() + left))
}
