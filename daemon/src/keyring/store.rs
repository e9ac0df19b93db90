//! Rolecall's items in the keyring. Every function here may block, and runs in a thread of [`crate::blocking_worker`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::{KeyName, Secret};

use super::error::KeyringError;
use super::item::StoredKey;
use super::platform::Connected;
use super::{Replace, platform};
use crate::blocking_worker::Cancel;

/// The value of the attribute `service` of Rolecall's items.
pub(super) const SERVICE: &str = "rolecall";

/// An open, unlocked keyring.
pub(super) struct KeyStore(Arc<CredentialStore>);

/// An item that has the name of an access key.
struct NamedItem {
    entry: Entry,
    key: Result<StoredKey, KeyringError>,
}

impl KeyStore {
    /// Opens the keyring. Errors with `Locked` if the items of that name are locked: a search would show a prompt then.
    pub(super) fn open(connected: &mut Connected, name: Option<&KeyName>) -> Result<Self, KeyringError> {
        connected.store(name).map(Self)
    }

    pub(super) fn get(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        newest(self.find(name)?).map(|found| found.1)
    }

    /// Stores an access key. Replaces one of that name in one step, so that the keyring has an access key at any time.
    pub(super) fn put(
        &self,
        name: &KeyName,
        key: &StoredKey,
        replace: &Replace,
        cancel: &Cancel,
    ) -> Result<(), KeyringError> {
        let entry = match newest(self.find(name)?) {
            Ok(_) if *replace == Replace::Nothing => return Err(KeyringError::Exists),
            Ok((entry, _)) => entry,
            Err(KeyringError::NotFound) => platform::entry(&*self.0, SERVICE, name.as_str()).map_err(of)?,
            // An item that Rolecall did not write, or cannot read, stays.
            Err(other) => return Err(other),
        };
        let text = key.write()?;
        cancel.begin()?;
        entry.set_secret(text.expose()).map_err(|error| of(error).during_a_change())
    }

    /// Deletes the items of that name that Rolecall wrote.
    pub(super) fn delete(&self, name: &KeyName, cancel: &Cancel) -> Result<(), KeyringError> {
        let found = self.find(name)?;
        if !found.iter().any(|found| found.key.is_ok()) {
            return newest(found).map(drop);
        }
        cancel.begin()?;
        for NamedItem { entry, .. } in found.iter().filter(|found| found.key.is_ok()) {
            entry.delete_credential().map_err(|error| of(error).during_a_change())?;
        }
        Ok(())
    }

    /// Returns all items that Rolecall wrote, by name.
    pub(super) fn list(&self) -> Result<Vec<(KeyName, StoredKey)>, KeyringError> {
        let mut keys: BTreeMap<KeyName, StoredKey> = BTreeMap::new();
        for entry in self.0.search(&HashMap::from([("service", SERVICE)])).map_err(of)? {
            let Some((_, user)) = entry.get_specifiers() else { continue };
            let Ok(name) = user.parse::<KeyName>() else { continue };
            match read(&entry) {
                Ok(key) if keys.get(&name).is_none_or(|known| known.stored < key.stored) => {
                    keys.insert(name, key);
                }
                Err(error @ (KeyringError::Corrupt(_) | KeyringError::Newer(_))) => {
                    tracing::warn!(key = %name, %error, "keyring item skipped");
                }
                // An older item of that name, or one that another program deleted during this search.
                Ok(_) | Err(KeyringError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys.into_iter().collect())
    }

    fn find(&self, name: &KeyName) -> Result<Vec<NamedItem>, KeyringError> {
        let wanted = HashMap::from([("service", SERVICE), (platform::USER, name.as_str())]);
        let entries = self.0.search(&wanted).map_err(of)?;
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            match read(&entry) {
                key @ (Ok(_) | Err(KeyringError::Corrupt(_) | KeyringError::Newer(_))) => {
                    all.push(NamedItem { entry, key });
                }
                Err(KeyringError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

fn read(entry: &Entry) -> Result<StoredKey, KeyringError> {
    let text = Secret::new(entry.get_secret().map_err(of)?);
    StoredKey::read(text.expose())
}

/// Returns the newest readable item, or why there is none.
fn newest(found: Vec<NamedItem>) -> Result<(Entry, StoredKey), KeyringError> {
    let mut problem = KeyringError::NotFound;
    let mut best: Option<(Entry, StoredKey)> = None;
    for NamedItem { entry, key } in found {
        match key {
            Ok(key) if best.as_ref().is_none_or(|(_, known)| known.stored < key.stored) => best = Some((entry, key)),
            Ok(_) => {}
            Err(error) => problem = error,
        }
    }
    best.ok_or(problem)
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn of(error: keyring_core::Error) -> KeyringError {
    KeyringError::of(&error)
}
