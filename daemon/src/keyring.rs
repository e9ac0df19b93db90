//! Long-lived access keys in the OS keyring: the Secret Service on Linux, the Keychain on macOS.
//!
//! A keyring may ask the user something, or hang, and its libraries block until it answers. Each call therefore runs in a
//! thread with a timeout, and only a command of a user at a terminal makes the desktop show a prompt (B15).

mod error;
pub mod item;
#[cfg(target_os = "macos")]
#[path = "keyring/keychain.rs"]
mod platform;
#[cfg(target_os = "linux")]
#[path = "keyring/secret_service.rs"]
mod platform;
mod store;
mod worker;

use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_protocol::{KeyName, Region};

use crate::blocking_worker::Cancel;
pub use error::KeyringError;
pub use item::StoredKey;
use platform::Connected;
use rolecall_core::clock::Clock;
use store::KeyStore;
pub use worker::KEYRING_TIMEOUT;
use worker::{KeyringWorker, Requester};

/// The user's keyring. Clones share its threads.
#[derive(Debug, Clone)]
pub struct Keyring {
    clock: Clock,
    worker: KeyringWorker,
}

/// An access key to store.
#[derive(Debug)]
pub struct NewKey {
    /// The access key.
    pub credentials: Credentials,
    /// The ARN of its IAM user.
    pub arn: Option<String>,
    /// The region in which the user entered it.
    pub region: Region,
}

/// What [`Keyring::put`] does if the keyring has an access key of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// It errors with `Exists`.
    Nothing,
    /// It replaces the access key.
    Any,
}

impl Keyring {
    /// Creates the handle; opens no connection yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, worker: KeyringWorker::default() }
    }

    /// Returns the access key of that name. Never shows a prompt: errors with `Locked` if the keyring is locked.
    pub async fn get(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        self.read(name, Requester::Program).await
    }

    /// Returns the access key of that name to a user who waits for it. Asks the keyring even if it is silent, since the user may
    /// have fixed or unlocked it.
    pub async fn get_for_user(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        self.read(name, Requester::User).await
    }

    async fn read(&self, name: &KeyName, requester: Requester) -> Result<StoredKey, KeyringError> {
        let name = name.clone();
        let read =
            self.worker.call(requester, move |keyring, _| KeyStore::open(keyring, Some(&name))?.get(&name)).await;
        match read {
            Err(KeyringError::Locked) if self.worker.is_prompting() => Err(KeyringError::Prompting),
            read => read,
        }
    }

    /// Unlocks the keyring for a user who waits, so that the access key of that name (or each) can be read and written. If it
    /// is locked, the desktop asks for its password. Errors with `Prompting` after `timeout`; the prompt stays open then.
    pub async fn unlock(&self, name: Option<&KeyName>, timeout: Duration) -> Result<(), KeyringError> {
        let wanted = name.cloned();
        let open = move |keyring: &mut Connected, _: &Cancel| KeyStore::open(keyring, wanted.as_ref()).map(drop);
        match self.worker.call(Requester::User, open).await {
            Err(KeyringError::Locked) => {
                let name = name.cloned();
                self.worker.prompt(timeout, move || platform::unlock(name.as_ref())).await
            }
            opened => opened,
        }
    }

    /// Stores an access key. One that is replaced stays readable until the new one is stored.
    pub async fn put(&self, name: &KeyName, key: NewKey, replace: Replace) -> Result<StoredKey, KeyringError> {
        let NewKey { credentials, arn, region } = key;
        let key = StoredKey { credentials, arn, region, stored: self.clock.now() };
        let name = name.clone();
        let put = move |keyring: &mut Connected, cancel: &Cancel| {
            KeyStore::open(keyring, Some(&name))?.put(&name, &key, &replace, cancel)?;
            Ok(key.clone())
        };
        self.worker.call(Requester::User, put).await
    }

    /// Deletes the access key of that name. Items under that name that Rolecall did not write stay.
    pub async fn delete(&self, name: &KeyName) -> Result<(), KeyringError> {
        let name = name.clone();
        let delete =
            move |keyring: &mut Connected, cancel: &Cancel| KeyStore::open(keyring, Some(&name))?.delete(&name, cancel);
        self.worker.call(Requester::User, delete).await
    }

    /// Returns all access keys by name, without items that Rolecall did not write or cannot read.
    pub async fn list(&self) -> Result<Vec<(KeyName, StoredKey)>, KeyringError> {
        self.worker.call(Requester::User, |keyring, _| KeyStore::open(keyring, None)?.list()).await
    }
}
