//! The Secret Service of a Linux desktop (GNOME Keyring, KWallet, KeePassXC).
//!
//! The store's own search unlocks what it finds, and so may make the desktop show a prompt and wait for it without end. So
//! it is looked first, by the service's own properties, whether what is wanted is locked.
//!
//! Whoever connects is kept connected. GNOME Keyring keeps a list of its clients, changes it in two threads, and dies where
//! one leaves in the moment in which another comes: a few hundred connections are enough (its assertion `'client' failed`).

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::KeyName;
use secret_service::blocking::{Item, SecretService};
use secret_service::{EncryptionType, Error as ServiceError};
use zbus::DBusError;
use zbus::blocking::Connection;
use zbus::blocking::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName, WellKnownName};

use super::error::KeyringError;
use super::store::SERVICE;
use rolecall_aws::error::innermost;

/// The attribute that has the name.
pub(super) const USER: &str = "username";
/// The service's name on the bus.
const SERVICE_NAME: &str = "org.freedesktop.secrets";
/// What a keyring is called that is made for us where there is none.
const LABEL: &str = "Default keyring";

/// What a thread keeps from one thing to the next: its connections, as long as the process at their other end is the same.
#[derive(Default)]
pub(super) struct Connected(Option<Connections>);

struct Connections {
    /// For what can be seen: no secret goes over this one.
    service: SecretService<'static>,
    /// For the rest; it opens one of its own.
    store: Arc<CredentialStore>,
    bus: DBusProxy<'static>,
    /// Which process has the service's name.
    owner: OwnedUniqueName,
}

impl Connected {
    /// Whether there is something that is kept.
    pub(super) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The store, if keys of that name (or all of them) can be read and written. Shows nothing to anybody.
    pub(super) fn store(&mut self, name: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
        let connections = self.connections()?;
        check(&connections.service, name)?;
        Ok(connections.store.clone())
    }

    /// The connections that there are, or new ones: the bus or the service may have come, or begun anew.
    fn connections(&mut self) -> Result<&Connections, KeyringError> {
        let kept = match self.0.take() {
            Some(kept) if owner(&kept.bus).is_ok_and(|owner| owner == kept.owner) => kept,
            _ => Connections::open()?,
        };
        Ok(self.0.insert(kept))
    }
}

impl Connections {
    fn open() -> Result<Self, KeyringError> {
        let bus = session_bus()?;
        let service = SecretService::connect_with_existing(EncryptionType::Plain, bus.clone()).map_err(of)?;
        let bus = DBusProxy::new(&bus).map_err(|error| of(error.into()))?;
        let owner = owner(&bus).map_err(|error| of(error.into()))?;
        let store = zbus_secret_service_keyring_store::Store::new().map_err(|error| KeyringError::of(&error))?;
        Ok(Self { service, store, bus, owner })
    }
}

fn owner(bus: &DBusProxy<'_>) -> zbus::fdo::Result<OwnedUniqueName> {
    bus.get_name_owner(BusName::WellKnown(WellKnownName::from_static_str_unchecked(SERVICE_NAME)))
}

/// The place of an item that is not there yet.
pub(super) fn entry(store: &CredentialStore, service: &str, user: &str) -> keyring_core::Result<Entry> {
    let label = format!("AWS access key of Rolecall ({user})");
    store.build(service, user, Some(&HashMap::from([("label", label.as_str())])))
}

/// Whether keys of that name (or all of them) can be read and written.
fn check(service: &SecretService<'_>, name: Option<&KeyName>) -> Result<(), KeyringError> {
    let found = service.search_items(attributes(name)).map_err(of)?;
    if !found.locked.is_empty() {
        return Err(KeyringError::Locked);
    }
    // What is there and unlocked can be used, wherever it is; what is not there would be made in the default collection.
    if found.unlocked.is_empty() {
        match service.get_default_collection() {
            Ok(collection) if collection.is_locked().map_err(of)? => return Err(KeyringError::Locked),
            Ok(_) | Err(ServiceError::NoResult) => {}
            Err(error) => return Err(of(error)),
        }
    }
    Ok(())
}

/// Has the desktop ask for the password of whatever was found locked, and waits as long as that takes.
pub(super) fn unlock(name: Option<&KeyName>) -> Result<(), KeyringError> {
    let service = SecretService::connect_with_existing(EncryptionType::Plain, session_bus()?).map_err(of)?;
    let found = service.search_items(attributes(name)).map_err(of)?;
    let locked: Vec<&Item<'_>> = found.locked.iter().collect();
    if !locked.is_empty() {
        service.unlock_all(&locked).map_err(of)?;
    }
    match service.get_default_collection() {
        Ok(collection) if collection.is_locked().map_err(of)? => collection.unlock().map_err(of),
        Ok(_) => Ok(()),
        Err(ServiceError::NoResult) => service.create_collection(LABEL, "default").map(drop).map_err(of),
        Err(error) => Err(of(error)),
    }
}

/// What the store's error means.
pub(super) fn meaning(_: &keyring_core::Error, cause: &(dyn Error + Send + Sync + 'static)) -> KeyringError {
    match cause.downcast_ref::<ServiceError>() {
        Some(error) => of_service(error),
        None => KeyringError::Failed(innermost(cause)),
    }
}

fn session_bus() -> Result<Connection, KeyringError> {
    // What does not come about is a bus that is not there.
    Connection::session().map_err(|error| KeyringError::Absent(format!("no session bus ({})", innermost(&error))))
}

fn attributes(name: Option<&KeyName>) -> HashMap<&str, &str> {
    let user = name.map(|name| (USER, name.as_str()));
    [("service", SERVICE)].into_iter().chain(user).collect()
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn of(error: ServiceError) -> KeyringError {
    of_service(&error)
}

fn of_service(error: &ServiceError) -> KeyringError {
    match error {
        ServiceError::Unavailable => KeyringError::Absent("no session bus, or no Secret Service on it".to_owned()),
        ServiceError::Locked => KeyringError::Locked,
        ServiceError::Prompt => {
            KeyringError::Denied("it is locked, and its prompt was dismissed or could not be shown".to_owned())
        }
        ServiceError::PromptDisconnected => KeyringError::NotAnswering { is_unsure: false },
        ServiceError::NoResult => KeyringError::Failed("it has no default collection".to_owned()),
        ServiceError::Crypto(_) | ServiceError::Zvariant(_) => KeyringError::Corrupt("it cannot be read"),
        ServiceError::Zbus(zbus::Error::FDO(error)) => of_fdo(error),
        ServiceError::ZbusFdo(error) => of_fdo(error),
        ServiceError::Zbus(zbus::Error::MethodError(name, said, _)) => {
            of_bus(name.as_str(), said.as_deref().unwrap_or_default())
        }
        ServiceError::Zbus(zbus::Error::InputOutput(_) | zbus::Error::Connection(..)) => {
            KeyringError::NotAnswering { is_unsure: false }
        }
        error => KeyringError::Failed(innermost(error)),
    }
}

fn of_fdo(error: &zbus::fdo::Error) -> KeyringError {
    of_bus(error.name().as_str(), &innermost(error))
}

/// What an error of the bus means, by its name.
fn of_bus(name: &str, said: &str) -> KeyringError {
    let said = rolecall_protocol::sanitize_for_terminal(said);
    match name.rsplit('.').next().unwrap_or(name) {
        "ServiceUnknown" | "NameHasNoOwner" | "NoServer" => {
            KeyringError::Absent("no Secret Service on the session bus".to_owned())
        }
        // The bus tried to start it.
        _ if name.contains(".Spawn.") => KeyringError::Absent(said),
        "AccessDenied" | "AuthFailed" => KeyringError::Denied(said),
        "IsLocked" => KeyringError::Locked,
        "NoReply" | "Timeout" | "TimedOut" | "Disconnected" => KeyringError::NotAnswering { is_unsure: false },
        "NoSuchObject" | "UnknownObject" => KeyringError::NotFound,
        _ => KeyringError::Failed(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_s_errors_by_name() {
        let of = |name: &str| of_bus(name, "said");
        assert!(matches!(of("org.freedesktop.DBus.Error.ServiceUnknown"), KeyringError::Absent(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.Spawn.ChildExited"), KeyringError::Absent(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.AccessDenied"), KeyringError::Denied(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.NoReply"), KeyringError::NotAnswering { .. }));
        assert_eq!(of("org.freedesktop.Secret.Error.IsLocked"), KeyringError::Locked);
        assert_eq!(of("org.freedesktop.Secret.Error.NoSuchObject"), KeyringError::NotFound);
    }
}
