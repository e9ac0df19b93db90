//! The keyring of other systems: the macOS Keychain.

use std::error::Error;
use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::KeyName;

use super::error::KeyringError;
use rolecall_aws::error::innermost;

/// The attribute that has an access key's name.
pub(super) const USER: &str = "user";

/// A thread keeps no connection: the process has one store.
#[derive(Default)]
pub(super) struct Connected;

impl Connected {
    /// Whether connections are open.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) const fn is_open(&self) -> bool {
        false
    }

    /// Returns the system's store. It does not report beforehand whether it will show a prompt.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) fn store(&mut self, _: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
        if let Err(error) = keyring::Entry::store_status() {
            return Err(KeyringError::of(error));
        }
        keyring_core::get_default_store().ok_or_else(|| KeyringError::Absent("none could be opened".to_owned()))
    }
}

/// Returns the entry for a new item.
pub(super) fn entry(store: &CredentialStore, service: &str, user: &str) -> keyring_core::Result<Entry> {
    store.build(service, user, None)
}

/// The Keychain asks when it is used.
pub(super) fn unlock(_: Option<&KeyName>) -> Result<(), KeyringError> {
    Ok(())
}

/// Converts the store's error.
pub(super) fn meaning(error: &keyring_core::Error, cause: &(dyn Error + Send + Sync + 'static)) -> KeyringError {
    match error {
        keyring_core::Error::NoStorageAccess(_) => KeyringError::Locked,
        _ => KeyringError::Denied(innermost(cause)),
    }
}
