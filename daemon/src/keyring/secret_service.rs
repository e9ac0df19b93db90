//! The Secret Service of a Linux desktop (GNOME Keyring, KWallet, KeePassXC).
//!
//! The store's own search unlocks what it finds, which may show a prompt and block without limit. So the service's properties are
//! checked first: if an item is locked, there is no search.
//!
//! Connections are kept open. GNOME Keyring changes its list of clients in two threads, and aborts if one client disconnects while
//! another connects: a few hundred connections are enough (its assertion `'client' failed`).

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

/// The attribute that has an access key's name.
pub(super) const USER: &str = "username";
/// The service's name on the bus.
const SERVICE_NAME: &str = "org.freedesktop.secrets";
/// The label of a new keyring, if there is none.
const COLLECTION_LABEL: &str = "Default keyring";

/// The connections that a thread keeps between calls, as long as the same process serves them.
#[derive(Default)]
pub(super) struct Connected(Option<Connections>);

struct Connections {
    /// For properties; no secret is sent over this connection.
    service: SecretService<'static>,
    /// For items; it has a connection of its own.
    store: Arc<CredentialStore>,
    bus: DBusProxy<'static>,
    /// The unique name of the service's process.
    owner: OwnedUniqueName,
}

impl Connected {
    /// Whether connections are open.
    pub(super) const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the store. Errors with `Locked` if the access key of that name (or any) is locked. Shows no prompt.
    pub(super) fn store(&mut self, name: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
        let connections = self.connections()?;
        check(&connections.service, name)?;
        Ok(connections.store.clone())
    }

    /// Returns the open connections, or new ones if the bus or the service has restarted.
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

/// Returns the entry for a new item.
pub(super) fn entry(store: &CredentialStore, service: &str, user: &str) -> keyring_core::Result<Entry> {
    let label = format!("AWS access key of Rolecall ({user})");
    store.build(service, user, Some(&HashMap::from([("label", label.as_str())])))
}

/// Errors with `Locked` if the access key of that name (or any) cannot be read and written.
fn check(service: &SecretService<'_>, name: Option<&KeyName>) -> Result<(), KeyringError> {
    let found = service.search_items(attributes(name)).map_err(of)?;
    if !found.locked.is_empty() {
        return Err(KeyringError::Locked);
    }
    // An unlocked item can be used in any collection. A new item is created in the default collection.
    if found.unlocked.is_empty() {
        match service.get_default_collection() {
            Ok(collection) if collection.is_locked().map_err(of)? => return Err(KeyringError::Locked),
            Ok(_) | Err(ServiceError::NoResult) => {}
            Err(error) => return Err(of(error)),
        }
    }
    Ok(())
}

/// Makes the desktop ask for the password of the locked items, and blocks until the prompt ends.
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
        Err(ServiceError::NoResult) => service.create_collection(COLLECTION_LABEL, "default").map(drop).map_err(of),
        Err(error) => Err(of(error)),
    }
}

/// Converts the store's error.
pub(super) fn meaning(_: &keyring_core::Error, cause: &(dyn Error + Send + Sync + 'static)) -> KeyringError {
    match cause.downcast_ref::<ServiceError>() {
        Some(error) => of_service(error),
        None => KeyringError::Failed(innermost(cause)),
    }
}

fn session_bus() -> Result<Connection, KeyringError> {
    // Each error means that there is no usable bus.
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
            KeyringError::Denied("it is locked, and its prompt was dismissed or not shown".to_owned())
        }
        ServiceError::PromptDisconnected => KeyringError::NotAnswering { is_unsure: false },
        ServiceError::NoResult => KeyringError::Failed("it has no default collection".to_owned()),
        ServiceError::Crypto(_) | ServiceError::Zvariant(_) => KeyringError::Corrupt("it cannot be read"),
        ServiceError::Zbus(zbus::Error::FDO(error)) => of_fdo(error),
        ServiceError::ZbusFdo(error) => of_fdo(error),
        ServiceError::Zbus(zbus::Error::MethodError(name, message, _)) => {
            of_bus(name.as_str(), message.as_deref().unwrap_or_default())
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

/// Converts an error of the bus, by its name.
fn of_bus(name: &str, message: &str) -> KeyringError {
    let message = rolecall_protocol::sanitize_for_terminal(message);
    match name.rsplit('.').next().unwrap_or(name) {
        "ServiceUnknown" | "NameHasNoOwner" | "NoServer" => {
            KeyringError::Absent("no Secret Service on the session bus".to_owned())
        }
        // The bus tried to start the service.
        _ if name.contains(".Spawn.") => KeyringError::Absent(message),
        "AccessDenied" | "AuthFailed" => KeyringError::Denied(message),
        "IsLocked" => KeyringError::Locked,
        "NoReply" | "Timeout" | "TimedOut" | "Disconnected" => KeyringError::NotAnswering { is_unsure: false },
        "NoSuchObject" | "UnknownObject" => KeyringError::NotFound,
        _ => KeyringError::Failed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_errors_are_converted_by_name() {
        let of = |name: &str| of_bus(name, "message");
        assert!(matches!(of("org.freedesktop.DBus.Error.ServiceUnknown"), KeyringError::Absent(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.Spawn.ChildExited"), KeyringError::Absent(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.AccessDenied"), KeyringError::Denied(_)));
        assert!(matches!(of("org.freedesktop.DBus.Error.NoReply"), KeyringError::NotAnswering { .. }));
        assert_eq!(of("org.freedesktop.Secret.Error.IsLocked"), KeyringError::Locked);
        assert_eq!(of("org.freedesktop.Secret.Error.NoSuchObject"), KeyringError::NotFound);
    }
}
