//! Sets the passphrase and checks it, one check at a time and not faster than `rate_limit` permits.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::Secret;

use super::error::LockError;
use super::file::{self, StoredLock};
use super::rate_limit::{LockClient, Ticket};
use super::verifier::{self, Verifier};
use super::{Lock, failed};

/// A client that waits for its passphrase to be checked, until it is dropped.
struct Waiter {
    lock: Lock,
    ticket: Ticket,
}

impl Lock {
    /// Sets the passphrase. If one is set already, `old` has to be the current one.
    pub async fn set_passphrase(
        &self,
        passphrase: Secret<String>,
        old: Option<Secret<String>>,
        client: LockClient,
    ) -> Result<(), LockError> {
        if !verifier::is_acceptable(&passphrase) {
            return Err(LockError::Length);
        }
        self.damage().map_or(Ok(()), Err)?;
        let current = self.state().verifier.clone();
        match (&current, old) {
            (Some(_), Some(old)) => self.check(old, client).await?,
            (Some(_), None) => return Err(LockError::Present),
            (None, _) => {}
        }
        let lock = self.clone();
        let permit = Arc::clone(&self.0.hashing).acquire_owned().await.map_err(failed)?;
        let set = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lock.replace(current.as_ref(), Verifier::new(&passphrase).map_err(LockError::Failed)?)
        });
        set.await.map_err(failed)??;
        self.0.changed.notify_waiters();
        Ok(())
    }

    /// Errors if the passphrase is wrong. Waits before and after the check as `rate_limit` demands; other requests continue.
    pub(super) async fn check(&self, passphrase: Secret<String>, client: LockClient) -> Result<(), LockError> {
        let entered = self.state().attempts.enter(client.clone(), self.0.clock.elapsed());
        let (ticket, wait) = entered.map_err(|retry_after| self.busy(retry_after))?;
        let _waiter = Waiter { lock: self.clone(), ticket };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let has_place = self.state().attempts.begin_check(ticket);
        if !has_place {
            let retry_after = self.state().attempts.retry_after(self.0.clock.elapsed());
            return Err(self.busy(retry_after));
        }
        let permit = Arc::clone(&self.0.hashing).acquire_owned().await.map_err(failed)?;
        let lock = self.clone();
        // The thread counts the attempt, so a client that disconnects before the result is counted too.
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lock.compare(&passphrase, client)
        });
        match checked.await.map_err(failed)? {
            Ok(()) => Ok(()),
            Err(pause) => {
                tokio::time::sleep(pause).await;
                Err(LockError::Wrong)
            }
        }
    }

    /// The error of a client that gets no place. It names the process of the last wrong passphrase, so that the user can end it.
    fn busy(&self, retry_after: Duration) -> LockError {
        let last_failed = self.state().attempts.last_failed().and_then(LockClient::description);
        LockError::Busy { retry_after, last_failed }
    }

    /// Compares the passphrase and counts the attempt. Errors with the pause to wait.
    fn compare(&self, passphrase: &Secret<String>, client: LockClient) -> Result<(), Duration> {
        let verifier = self.state().verifier.clone();
        let is_right = verifier.is_some_and(|verifier| verifier.matches(passphrase));
        let now = self.0.clock.elapsed();
        let attempts = &mut self.state().attempts;
        if is_right {
            attempts.record_success();
            Ok(())
        } else {
            Err(attempts.record_failure(client, now))
        }
    }

    /// Replaces the verifier `current`, in the file first. Errors if another request has replaced it before.
    fn replace(&self, current: Option<&Verifier>, verifier: Verifier) -> Result<(), LockError> {
        let _disk = self.disk();
        let (is_current, locked) = {
            let state = self.state();
            (state.verifier.as_ref() == current, state.locked)
        };
        if !is_current {
            return Err(LockError::Present);
        }
        let stored = StoredLock { verifier, locked };
        if let Some(path) = self.path() {
            let unsaved = |error| LockError::Unsaved(format!("{}: {error}", path.display()));
            file::write(path, &stored).map_err(unsaved)?;
        }
        self.state().verifier = Some(stored.verifier);
        Ok(())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.lock.state().attempts.leave(self.ticket);
    }
}
