//! Errors of the keyring. Each of the five reasons why it cannot be used has its own variant (B15).

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, KeyName};

use crate::blocking_worker::Cancelled;

/// Why the keyring does not read, store or delete an access key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No keyring: no session bus, or no Secret Service on it.
    #[error("no OS keyring is available: {0}")]
    Absent(String),
    /// The keyring is locked.
    #[error("the OS keyring is locked")]
    Locked,
    /// The keyring is locked, and the desktop is asking for its password.
    #[error("the OS keyring waits for its password: answer the prompt on your desktop")]
    Prompting,
    /// The keyring hangs, or ended during the call.
    #[error("the OS keyring does not answer")]
    NotAnswering {
        /// Whether the change may have been made, or may still be made.
        is_unsure: bool,
    },
    /// The keyring refused the call.
    #[error("the OS keyring refuses: {0}")]
    Denied(String),
    /// Any other failure.
    #[error("the OS keyring failed: {0}")]
    Failed(String),
    /// No access key of that name.
    #[error("the OS keyring has no access key of that name")]
    NotFound,
    /// An access key of that name exists.
    #[error("the OS keyring already has an access key of that name")]
    Exists,
    /// The item of that name was not written by Rolecall, or is damaged.
    #[error("the OS keyring item of that name was not written by Rolecall or is damaged: {0}")]
    Corrupt(&'static str),
    /// A newer Rolecall wrote the item.
    #[error("a newer Rolecall wrote the OS keyring item of that name (format {0})")]
    Newer(u64),
}

impl From<Cancelled> for KeyringError {
    fn from(_: Cancelled) -> Self {
        Self::NotAnswering { is_unsure: false }
    }
}

impl KeyringError {
    /// Returns what ends the error. A locked keyring is retried: it does not report when it is unlocked.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Locked | Self::Prompting | Self::NotAnswering { .. } | Self::Failed(_) => ErrorClass::Retry,
            Self::Absent(_) | Self::Denied(_) | Self::NotFound | Self::Exists | Self::Corrupt(_) | Self::Newer(_) => {
                ErrorClass::Change
            }
        }
    }

    /// Whether a new connection may succeed.
    pub(super) const fn is_of_connection(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::NotAnswering { .. } | Self::Failed(_))
    }

    /// Returns the error for the protocol.
    #[must_use]
    pub fn body(&self, name: Option<&KeyName>) -> ErrorBody {
        let about = name.map(|name| format!("access key \"{name}\": ")).unwrap_or_default();
        let name = name.map_or("NAME", KeyName::as_str);
        let code = match self {
            Self::NotFound => ErrorCode::UnknownKey,
            Self::Exists => ErrorCode::ConfigInvalid,
            Self::Corrupt(_) | Self::Newer(_) => ErrorCode::SourceUnavailable,
            _ => ErrorCode::KeyringUnavailable,
        };
        let hint = match self {
            Self::Absent(_) if cfg!(target_os = "macos") => {
                "Log in at this Mac, or create a login keychain in Keychain Access."
            }
            Self::Absent(_) => {
                "Start GNOME Keyring, KWallet or KeePassXC in your desktop session, then run there: rolecall agent stop (the next \
                 command starts an agent that finds it)."
            }
            Self::Locked => "Unlock the keyring: rolecall keys list",
            Self::Prompting => "Enter the password, then run the command again.",
            Self::NotAnswering { is_unsure: true } => {
                "The change may have been made: see rolecall keys list. Rolecall tries again within a minute; check whether the \
                 keyring's process hangs or waits for you."
            }
            Self::NotAnswering { is_unsure: false } => {
                "Rolecall tries again within a minute; check whether the keyring's process hangs or waits for you."
            }
            Self::Denied(_) => "Run the command in your desktop session, which can ask for the keyring's password.",
            Self::Failed(_) => "Open the keyring with your desktop's password manager.",
            Self::NotFound => &format!("Store one: rolecall keys put {name}"),
            Self::Exists => &format!("Replace it: rolecall keys put {name} --replace"),
            Self::Corrupt(_) => &format!(
                "Check the item with service rolecall and user {name} in your desktop's password manager, or use another name."
            ),
            Self::Newer(_) => "Upgrade Rolecall, or use another name.",
        };
        let body = ErrorBody::new(code, format!("{about}{self}")).hint(hint);
        if matches!(self, Self::NotAnswering { .. }) { body.automatic_retry() } else { body }
    }

    /// Returns the error of a call that may have made its change before it failed.
    #[must_use]
    pub(super) fn during_a_change(self) -> Self {
        match self {
            Self::NotAnswering { .. } => Self::NotAnswering { is_unsure: true },
            error => error,
        }
    }

    /// Converts the store's error, as far as all platforms agree on its meaning.
    pub(super) fn of(error: &keyring_core::Error) -> Self {
        use keyring_core::Error;
        match error {
            Error::NoEntry => Self::NotFound,
            Error::NoStorageAccess(cause) | Error::PlatformFailure(cause) => {
                super::platform::meaning(error, cause.as_ref())
            }
            Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
                Self::Corrupt("it cannot be read")
            }
            Error::NoDefaultStore => Self::Absent("none could be opened".to_owned()),
            // Other errors may quote the secret.
            _ => Self::Failed("unsupported operation".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_message_and_a_hint() {
        let name: KeyName = "work".parse().unwrap();
        let all = [
            KeyringError::Absent("no session bus".to_owned()),
            KeyringError::Locked,
            KeyringError::Prompting,
            KeyringError::NotAnswering { is_unsure: false },
            KeyringError::Denied("no".to_owned()),
            KeyringError::NotFound,
            KeyringError::Exists,
            KeyringError::Corrupt("not JSON"),
            KeyringError::Newer(2),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for error in all {
            let body = error.body(Some(&name));
            assert!(body.message.starts_with("access key \"work\": "), "{body}");
            assert!(body.hint.is_some(), "{body}");
            assert_eq!(body.automatic_retry, matches!(error, KeyringError::NotAnswering { .. }), "{body}");
            assert!(seen.insert(body.message), "same message: {error}");
        }
    }
}
