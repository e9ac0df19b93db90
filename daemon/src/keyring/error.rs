//! What goes wrong with a keyring. The five ways in which it cannot be used are told apart (B15).

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, KeyName};

/// Why the keyring does not give, keep or forget keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none: no session bus, or no service on it.
    #[error("there is no OS keyring here ({0})")]
    Absent(String),
    /// It is locked.
    #[error("the OS keyring is locked")]
    Locked,
    /// It was locked, and the desktop asks for its password at this moment.
    #[error("the OS keyring waits for its password, which the desktop asks for")]
    Prompting,
    /// It hangs, or has gone away while it was asked.
    #[error("the OS keyring does not answer")]
    NotAnswering {
        /// Whether it may have done what it was asked all the same, or do it later.
        is_unsure: bool,
    },
    /// It says no.
    #[error("the OS keyring refuses: {0}")]
    Denied(String),
    /// It says something else.
    #[error("the OS keyring failed: {0}")]
    Failed(String),
    /// There are no keys of that name.
    #[error("there are no keys of that name in the OS keyring")]
    NotFound,
    /// There are keys of that name already.
    #[error("there are keys of that name in the OS keyring already")]
    Exists,
    /// What is there under that name is not ours, or broken.
    #[error("what the OS keyring has under that name is not of Rolecall's making, or broken ({0})")]
    Corrupt(&'static str),
    /// A newer Rolecall wrote it.
    #[error("what the OS keyring has under that name was written by a newer Rolecall (format {0})")]
    Newer(u64),
}

impl KeyringError {
    /// What has to happen for it to end. Nobody tells when a keyring is unlocked, so it is looked at again and again.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Locked | Self::Prompting | Self::NotAnswering { .. } | Self::Failed(_) => ErrorClass::Retry,
            Self::Absent(_) | Self::Denied(_) | Self::NotFound | Self::Exists | Self::Corrupt(_) | Self::Newer(_) => {
                ErrorClass::Change
            }
        }
    }

    /// Whether another connection may have another answer.
    pub(super) const fn is_of_connection(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::NotAnswering { .. } | Self::Failed(_))
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, name: Option<&KeyName>) -> ErrorBody {
        let about = name.map(|name| format!("keys \"{name}\": ")).unwrap_or_default();
        let name = name.map_or("NAME", KeyName::as_str);
        let (code, hint) = match self {
            Self::Absent(_) => (
                ErrorCode::KeyringUnavailable,
                "Start one in your desktop session (GNOME Keyring, KWallet, KeePassXC) and run there: rolecall agent stop; the \
                 next command starts an agent that finds it. Or keep the keys in an AWS profile."
                    .to_owned(),
            ),
            Self::Locked => (
                ErrorCode::KeyringUnavailable,
                "Unlock it: rolecall keys list has the desktop ask for its password.".to_owned(),
            ),
            Self::Prompting => (
                ErrorCode::KeyringUnavailable,
                "Give it the password, and run this again.".to_owned(),
            ),
            Self::NotAnswering { is_unsure } => {
                let unsure = if *is_unsure { "It may have taken this all the same: see rolecall keys list. " } else { "" };
                let hint = "It is tried again within a minute; look whether its process hangs or waits for something.";
                (ErrorCode::KeyringUnavailable, format!("{unsure}{hint}"))
            }
            Self::Denied(_) => (
                ErrorCode::KeyringUnavailable,
                "Run it again where your desktop can ask for the keyring's password, or unlock it there first.".to_owned(),
            ),
            Self::Failed(_) => (
                ErrorCode::KeyringUnavailable,
                "Look into the keyring with the desktop's own program for passwords.".to_owned(),
            ),
            Self::NotFound => (
                ErrorCode::UnknownKey,
                format!("See rolecall keys list, or put them there: rolecall keys put {name}"),
            ),
            Self::Exists => (
                ErrorCode::ConfigInvalid,
                format!("To replace them: rolecall keys put {name} --replace"),
            ),
            Self::Corrupt(_) => (
                ErrorCode::SourceUnavailable,
                format!(
                    "It is left alone; look at the item with service rolecall and user {name} in the desktop's own program \
                     for passwords, or use another name."
                ),
            ),
            Self::Newer(_) => {
                (ErrorCode::SourceUnavailable, "It is left alone; upgrade this Rolecall, or use another name.".to_owned())
            }
        };
        let body = ErrorBody::new(code, format!("{about}{self}")).hint(hint);
        if matches!(self, Self::NotAnswering { .. }) { body.automatic_retry() } else { body }
    }

    /// The same of something that may have been done before it went wrong.
    #[must_use]
    pub(super) fn in_the_middle(self) -> Self {
        match self {
            Self::NotAnswering { .. } => Self::NotAnswering { is_unsure: true },
            error => error,
        }
    }

    /// The store's error, as far as every platform's says it alike.
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
            // The rest may quote what it is about.
            _ => Self::Failed("it does not do that".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_words_of_its_own_and_advice() {
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
            assert!(body.message.starts_with("keys \"work\": "), "{body}");
            assert!(body.hint.is_some(), "{body}");
            assert_eq!(body.automatic_retry, matches!(error, KeyringError::NotAnswering { .. }), "{body}");
            assert!(seen.insert(body.message), "told twice: {error}");
        }
    }
}
