//! Our items in the keyring, for the thread: everything here may hang.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::{KeyName, Secret};

use super::cancel::Cancel;
use super::error::KeyringError;
use super::item::StoredKey;
use super::platform::Connected;
use super::{Replace, platform};

/// Under which service our items are.
pub(super) const SERVICE: &str = "rolecall";

/// An open keyring that is not locked.
pub(super) struct KeyStore(Arc<CredentialStore>);

/// Something that is there under a name.
struct Found {
    entry: Entry,
    key: Result<StoredKey, KeyringError>,
}

impl KeyStore {
    /// Opens it, unless what is asked for is locked: to look for that would make the desktop show a prompt.
    pub(super) fn open(connected: &mut Connected, name: Option<&KeyName>) -> Result<Self, KeyringError> {
        connected.store(name).map(Self)
    }

    pub(super) fn get(&self, name: &KeyName) -> Result<StoredKey, KeyringError> {
        newest(self.find(name)?).map(|found| found.1)
    }

    /// Keeps keys, in the place of those that are there: in one step, so that there are always some.
    pub(super) fn put(
        &self,
        name: &KeyName,
        key: &StoredKey,
        replace: &Replace,
        ticket: &Cancel,
    ) -> Result<(), KeyringError> {
        let entry = match newest(self.find(name)?) {
            Ok(_) if *replace == Replace::Nothing => return Err(KeyringError::Exists),
            Ok((entry, _)) => entry,
            Err(KeyringError::NotFound) => platform::entry(&*self.0, SERVICE, name.as_str()).map_err(of)?,
            // What is not ours is not overwritten.
            Err(other) => return Err(other),
        };
        let text = key.write()?;
        ticket.begin()?;
        entry.set_secret(text.expose()).map_err(|error| of(error).in_the_middle())
    }

    /// Removes what is ours under that name.
    pub(super) fn delete(&self, name: &KeyName, ticket: &Cancel) -> Result<(), KeyringError> {
        let found = self.find(name)?;
        if !found.iter().any(|found| found.key.is_ok()) {
            return newest(found).map(drop);
        }
        ticket.begin()?;
        for Found { entry, .. } in found.iter().filter(|found| found.key.is_ok()) {
            entry.delete_credential().map_err(|error| of(error).in_the_middle())?;
        }
        Ok(())
    }

    /// All of ours, by name.
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
                    tracing::warn!(key = %name, %error, "An item of the OS keyring is left alone");
                }
                // An older one of that name, or one that somebody has removed in this very moment.
                Ok(_) | Err(KeyringError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys.into_iter().collect())
    }

    fn find(&self, name: &KeyName) -> Result<Vec<Found>, KeyringError> {
        let wanted = HashMap::from([("service", SERVICE), (platform::USER, name.as_str())]);
        let entries = self.0.search(&wanted).map_err(of)?;
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            match read(&entry) {
                key @ (Ok(_) | Err(KeyringError::Corrupt(_) | KeyringError::Newer(_))) => {
                    all.push(Found { entry, key });
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

/// The newest of ours; else why what is there is none.
fn newest(found: Vec<Found>) -> Result<(Entry, StoredKey), KeyringError> {
    let mut problem = KeyringError::NotFound;
    let mut best: Option<(Entry, StoredKey)> = None;
    for Found { entry, key } in found {
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
