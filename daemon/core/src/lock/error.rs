//! The errors of the lock.

use std::time::Duration;

use rolecall_protocol::{ErrorBody, ErrorCode};

use super::verifier::PASSPHRASE_BYTES;

/// The reason why the lock rejects a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// No passphrase is set, so nothing could unlock the agent.
    #[error("no passphrase is set")]
    NoPassphrase,
    /// The new passphrase is too short or too long.
    #[error("the passphrase must have {} to {} bytes", PASSPHRASE_BYTES.start(), PASSPHRASE_BYTES.end())]
    Length,
    /// A passphrase is set, and the request does not contain it.
    #[error("a passphrase is set already; changing it needs the current one")]
    Present,
    /// The passphrase is wrong.
    #[error("wrong passphrase")]
    Wrong,
    /// Too many other requests wait, or one of the same session.
    #[error("too many passphrase attempts at once{}", of_process(last_failed.as_deref()))]
    Busy {
        /// After this time, another request is accepted.
        retry_after: Duration,
        /// The process of the last wrong passphrase, for example `process 4711 (python3)`.
        last_failed: Option<String>,
    },
    /// The lock file is damaged.
    #[error("the agent is locked and its lock file is damaged: {path}: {cause}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with the file.
        cause: String,
    },
    /// The lock file cannot be written.
    #[error("cannot save the passphrase: {0}")]
    Unsaved(String),
    /// An internal error, or the operating system returned no random bytes.
    #[error("cannot check passphrases: {0}")]
    Failed(String),
}

fn of_process(last_failed: Option<&str>) -> String {
    last_failed.map(|process| format!("; the last wrong passphrase came from {process}")).unwrap_or_default()
}

impl LockError {
    /// Returns the error as the protocol sends it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let body = |code| ErrorBody::new(code, self.to_string());
        match self {
            Self::NoPassphrase => body(ErrorCode::WrongPassphrase).hint("Set one: rolecall lock --passphrase"),
            Self::Length => body(ErrorCode::WrongPassphrase).hint("Choose another one, for example a few words."),
            Self::Present => body(ErrorCode::WrongPassphrase).hint("Change it: rolecall lock --passphrase"),
            Self::Wrong => body(ErrorCode::WrongPassphrase).hint("Try again: rolecall unlock"),
            Self::Busy { retry_after, last_failed } => {
                let seconds = retry_after.as_secs().saturating_add(1);
                let unknown = if last_failed.is_some() { " If you do not know that process, end it." } else { "" };
                body(ErrorCode::Throttled).hint(format!("Try again in {seconds} s.{unknown}"))
            }
            Self::Damaged { .. } => {
                body(ErrorCode::Locked).hint("Remove the file, and with it the passphrase, and run: rolecall unlock")
            }
            Self::Unsaved(_) => {
                body(ErrorCode::ConfigInvalid).hint("Free disk space or fix the folder's permissions, and try again.")
            }
            Self::Failed(_) => body(ErrorCode::Internal).hint("Try again. For details run: rolecall agent logs"),
        }
    }
}
