//! Why the lock does not do what it was asked, and what to do about it.

use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode};

use super::verifier::PASSPHRASE_BYTES;

/// Why the lock does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Nothing to unlock with.
    #[error("there is no passphrase yet")]
    NoPassphrase,
    /// Too short, or too long.
    #[error("a passphrase has {} characters at least (and {} bytes at most)", PASSPHRASE_BYTES.start(), PASSPHRASE_BYTES.end())]
    Length,
    /// There is a passphrase already.
    #[error("there is a passphrase already, and the present one was not given")]
    Present,
    /// It is another.
    #[error("that is not the passphrase")]
    Wrong,
    /// Too many try.
    #[error("passphrases are being tried already")]
    Busy(Duration),
    /// The file cannot be understood.
    #[error("the agent is locked, and what unlocks it is damaged: {path}: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be written.
    #[error("the passphrase cannot be kept: {0}")]
    Unsaved(String),
    /// A bug of ours, or the system has no randomness.
    #[error("passphrases cannot be checked: {0}")]
    Failed(String),
}

impl LockError {
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let body = |code| ErrorBody::new(code, self.to_string());
        match self {
            Self::NoPassphrase => body(ErrorCode::WrongPassphrase).hint("Set one: rolecall lock --passphrase"),
            Self::Length => body(ErrorCode::WrongPassphrase).hint("Take a longer one: a few words are as good."),
            Self::Present => body(ErrorCode::WrongPassphrase).hint("Change it: rolecall lock --passphrase"),
            Self::Wrong => body(ErrorCode::WrongPassphrase).hint("Try again: rolecall unlock"),
            Self::Busy(rest) => {
                body(ErrorCode::Throttled).hint(format!("Try again in {} s.", rest.as_secs().saturating_add(1)))
            }
            Self::Damaged { .. } => body(ErrorCode::Locked)
                .hint("Remove that file and run: rolecall unlock  It goes on without a passphrase then."),
            Self::Unsaved(_) => {
                body(ErrorCode::ConfigInvalid).hint("Nothing was changed. Make room, or mend the folder.")
            }
            Self::Failed(_) => body(ErrorCode::Internal).hint("See rolecall agent logs, and try again."),
        }
    }
}
