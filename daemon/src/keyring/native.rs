//! Keyrings of other systems: the Keychain of macOS.

use std::error::Error;
use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::KeyName;

use super::error::KeyringError;
use rolecall_aws::error::innermost;

/// The attribute that has the name.
pub(super) const USER: &str = "user";

/// What a thread keeps from one thing to the next: nothing, the system's own store is one for the whole process.
#[derive(Default)]
pub(super) struct Connected;

impl Connected {
    /// Whether there is something that is kept.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) const fn is_open(&self) -> bool {
        false
    }

    /// The system's own store. Nothing tells beforehand whether it will ask somebody.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) fn store(&mut self, _: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
        if let Err(error) = keyring::Entry::store_status() {
            return Err(KeyringError::of(error));
        }
        keyring_core::get_default_store().ok_or_else(|| KeyringError::Absent("none could be opened".to_owned()))
    }
}

/// The place of an item that is not there yet.
pub(super) fn entry(store: &CredentialStore, service: &str, user: &str) -> keyring_core::Result<Entry> {
    store.build(service, user, None)
}

/// The Keychain asks when it is used.
pub(super) fn unlock(_: Option<&KeyName>) -> Result<(), KeyringError> {
    Ok(())
}

/// What the store's error means.
pub(super) fn meaning(error: &keyring_core::Error, cause: &(dyn Error + Send + Sync + 'static)) -> KeyringError {
    match error {
        keyring_core::Error::NoStorageAccess(_) => KeyringError::Locked,
        _ => KeyringError::Denied(innermost(cause)),
    }
}
