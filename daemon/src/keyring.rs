//! Long-lived keys in the OS keyring: the Secret Service on Linux, the Keychain on macOS.
//!
//! A keyring may ask the person something, or hang, and its libraries wait for that without end. So it is asked in a thread
//! of its own, nobody waits for it longer than [`PATIENCE`], and what nobody at a terminal waits for never makes the desktop
//! show a prompt (B15).

mod cancel;
mod error;
pub mod item;
#[cfg(not(target_os = "linux"))]
#[path = "keyring/native.rs"]
mod platform;
#[cfg(target_os = "linux")]
#[path = "keyring/secret_service.rs"]
mod platform;
mod store;
mod worker;

use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_protocol::{KeyName, Region};

use cancel::Cancel;
pub use error::KeyringError;
pub use item::StoredKey;
use platform::Connected;
use rolecall_core::clock::Clock;
use store::KeyStore;
use worker::{Requester, Threads};

/// How long anybody waits for the keyring (B15).
pub const PATIENCE: Duration = Duration::from_secs(3);

/// The user's keyring. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Keyring {
    clock: Clock,
    threads: Threads,
}

/// Keys that are about to be kept.
#[derive(Debug)]
pub struct NewKey {
    /// The keys.
    pub credentials: Credentials,
    /// Whose they are.
    pub arn: Option<String>,
    /// Where they are from.
    pub region: Region,
}

/// What is done about keys that are there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// They stay, and it is an error.
    Nothing,
    /// They are replaced, whatever they are.
    Any,
}

impl Keyring {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, threads: Threads::default() }
    }

    /// The keys of that name. Never makes the desktop show anything: a locked keyring is an error.
    pub async fn get(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        self.read(name, Requester::Program).await
    }

    /// The same for a person who waits, and may have been asked to unlock it: it is tried even where it did not answer
    /// before.
    pub async fn get_for_person(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        self.read(name, Requester::LocalUser).await
    }

    async fn read(&self, name: &KeyName, client_process: Requester) -> Result<StoredKey, KeyringError> {
        let name = name.clone();
        let got =
            self.threads.ask(client_process, move |keyring, _| KeyStore::open(keyring, Some(&name))?.get(&name)).await;
        got.map_err(|error| self.seen_from_outside(error))
    }

    /// Makes sure, for a person who waits, that keys of that name (or all of them) can be read and written: if the keyring is
    /// locked, the desktop asks for its password. That may go on after `within`; what comes then finds it unlocked.
    pub async fn unlock(&self, name: Option<&KeyName>, within: Duration) -> Result<(), KeyringError> {
        let looked = name.cloned();
        match self
            .threads
            .ask(Requester::LocalUser, move |keyring, _| KeyStore::open(keyring, looked.as_ref()).map(drop))
            .await
        {
            Err(KeyringError::Locked) => {
                let name = name.cloned();
                self.threads.prompt(within, move || platform::unlock(name.as_ref())).await
            }
            looked => looked,
        }
    }

    /// Keeps keys; those that are there already stay what they are until the new ones are kept.
    pub async fn put(&self, name: &KeyName, key: NewKey, replace: Replace) -> Result<StoredKey, KeyringError> {
        let NewKey { credentials, arn, region } = key;
        let key = StoredKey { credentials, arn, region, stored: self.clock.now() };
        let name = name.clone();
        let put = move |keyring: &mut Connected, ticket: &Cancel| {
            KeyStore::open(keyring, Some(&name))?.put(&name, &key, &replace, ticket)?;
            Ok(key.clone())
        };
        self.threads.ask(Requester::LocalUser, put).await
    }

    /// Removes keys. What is there under that name and not ours stays.
    pub async fn delete(&self, name: &KeyName) -> Result<(), KeyringError> {
        let name = name.clone();
        let delete =
            move |keyring: &mut Connected, ticket: &Cancel| KeyStore::open(keyring, Some(&name))?.delete(&name, ticket);
        self.threads.ask(Requester::LocalUser, delete).await
    }

    /// All keys, by name. What is there and not ours, or not readable, is not among them.
    pub async fn list(&self) -> Result<Vec<(KeyName, StoredKey)>, KeyringError> {
        self.threads.ask(Requester::LocalUser, |keyring, _| KeyStore::open(keyring, None)?.list()).await
    }

    /// A keyring that is locked may be about to be unlocked: then its prompt is what there is to say.
    fn seen_from_outside(&self, error: KeyringError) -> KeyringError {
        match error {
            KeyringError::Locked if self.threads.is_prompting() => KeyringError::Prompting,
            error => error,
        }
    }
}
