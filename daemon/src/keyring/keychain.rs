//! The login keychain of macOS.
//!
//! An item is open to the program that created it; macOS recognises a program by its signature, and one without a certificate by
//! its content. Another program, which a new version of rolecalld may be, makes macOS ask the user, as a locked keychain does.
//! So dialogs are forbidden in this process, and the call fails instead, until a command of the user asks for them.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use apple_native_keyring_store::keychain::Store;
use keyring_core::Entry;
use keyring_core::api::CredentialStore;
use rolecall_protocol::KeyName;
use security_framework::base::Error as KeychainError;
use security_framework::os::macos::keychain::{KeychainUserInteractionLock, SecKeychain, SecPreferencesDomain};

use super::error::KeyringError;
use super::store::SERVICE;
use rolecall_aws::error::innermost;

/// The attribute that has an access key's name.
pub(super) const USER: &str = "user";

// Security/SecBase.h: errSecUserCanceled, errSecNotAvailable, errSecNoSuchKeychain, errSecAuthFailed, errSecInteractionNotAllowed,
// errSecInteractionRequired.
const USER_CANCELED: i32 = -128;
const NOT_AVAILABLE: i32 = -25_291;
const NO_SUCH_KEYCHAIN: i32 = -25_294;
const AUTH_FAILED: i32 = -25_293;
const INTERACTION_NOT_ALLOWED: i32 = -25_308;
const INTERACTION_REQUIRED: i32 = -25_315;

/// Forbids dialogs in this process, as long as it has a value. A prompt holds the mutex.
static DIALOGS_FORBIDDEN: Mutex<Option<KeychainUserInteractionLock>> = Mutex::new(None);

/// A thread keeps no connection: the process has one.
#[derive(Default)]
pub(super) struct Connected;

impl Connected {
    /// Whether connections are open.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) const fn is_open(&self) -> bool {
        false
    }

    /// Returns the store. Errors with `Locked` if the access key of that name (or any) cannot be read without a dialog, or a
    /// dialog is open. Shows none.
    #[allow(clippy::unused_self)] // as the other platform has it
    pub(super) fn store(&mut self, name: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
        let mut forbidden = match DIALOGS_FORBIDDEN.try_lock() {
            Ok(forbidden) => forbidden,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(KeyringError::Locked),
        };
        forbid_dialogs(&mut forbidden)?;
        drop(forbidden);
        open(name)
    }
}

/// Returns the entry for a new item.
pub(super) fn entry(store: &CredentialStore, service: &str, user: &str) -> keyring_core::Result<Entry> {
    store.build(service, user, None)
}

/// Makes macOS ask for the password of a locked keychain, and whether this program may read the access key of that name (or
/// each) if another program created it. Blocks until the dialogs end.
pub(super) fn unlock(name: Option<&KeyName>) -> Result<(), KeyringError> {
    let mut forbidden = DIALOGS_FORBIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    *forbidden = None;
    let opened = open(name);
    forbid_dialogs(&mut forbidden)?;
    opened.map(drop)
}

fn forbid_dialogs(forbidden: &mut Option<KeychainUserInteractionLock>) -> Result<(), KeyringError> {
    if forbidden.is_none() {
        *forbidden = Some(SecKeychain::disable_user_interaction().map_err(of)?);
    }
    Ok(())
}

/// Opens the login keychain and reads the access key of that name, or each. An open keychain stays as it is.
fn open(name: Option<&KeyName>) -> Result<Arc<CredentialStore>, KeyringError> {
    let mut keychain = SecKeychain::default_for_domain(SecPreferencesDomain::User).map_err(of)?;
    keychain.unlock(None).map_err(of)?;
    let store: Arc<CredentialStore> = Store::new().map_err(|error| KeyringError::of(&error))?;
    let user = name.map(|name| (USER, name.as_str()));
    let wanted: HashMap<_, _> = [("service", SERVICE)].into_iter().chain(user).collect();
    for entry in store.search(&wanted).map_err(|error| KeyringError::of(&error))? {
        match entry.get_secret().map(rolecall_protocol::Secret::new) {
            Ok(_) | Err(keyring_core::Error::NoEntry) => {}
            Err(error) => return Err(KeyringError::of(&error)),
        }
    }
    Ok(store)
}

/// Converts the store's error.
pub(super) fn meaning(_: &keyring_core::Error, cause: &(dyn Error + Send + Sync + 'static)) -> KeyringError {
    match cause.downcast_ref::<KeychainError>() {
        Some(error) => of(*error),
        None => KeyringError::Failed(innermost(cause)),
    }
}

fn of(error: KeychainError) -> KeyringError {
    match error.code() {
        INTERACTION_NOT_ALLOWED | INTERACTION_REQUIRED => KeyringError::Locked,
        NOT_AVAILABLE | NO_SUCH_KEYCHAIN => KeyringError::Absent("there is no login keychain".to_owned()),
        USER_CANCELED | AUTH_FAILED => {
            KeyringError::Denied("its dialog was cancelled, or the password is wrong".to_owned())
        }
        _ => KeyringError::Failed(innermost(&error)),
    }
}
