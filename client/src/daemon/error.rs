//! Why a call has no answer, and what a person can do about it.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::location::LocationError;
use rolecall_protocol::{ErrorBody, ErrorCode, PROTOCOL_VERSION};

use super::http::HttpError;
use super::spawn::SpawnError;
use crate::error::{CliError, Exit};
use crate::files::path_text::shell_quoted;

/// Why a call has no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no place for a socket.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Nobody listens.
    #[error("the agent is not running")]
    NotRunning,
    /// Nobody listened, and it could not be started.
    #[error(transparent)]
    Start(#[from] SpawnError),
    /// What is at the socket's path may not be ours.
    #[error("refusing the agent's socket: {} is {problem}", path.display())]
    UntrustedSocket {
        /// The folder or the socket.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// Whether it is a folder that Rolecall made for itself, so that nothing else depends on its mode.
        can_close: bool,
    },
    /// Connecting failed.
    #[error("cannot connect to the agent at {}: {cause}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// It listens but takes no more calls.
    #[error("the agent takes no calls (waited {} s)", .0.as_secs())]
    Busy(Duration),
    /// It took the call and did not answer.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    NoResponse(Duration),
    /// It went away.
    #[error("the agent went away during the call: {0}")]
    Disconnected(HttpError),
    /// What answers is not our daemon.
    #[error("what listens at the agent's socket is not rolecalld: {0}")]
    InvalidResponse(String),
    /// It speaks another protocol.
    #[error("the agent speaks version {theirs} of the protocol and this client version {PROTOCOL_VERSION}")]
    ProtocolMismatch {
        /// The daemon's version, or a question mark.
        theirs: String,
    },
    /// It is of a release that had no events yet.
    #[error("the agent is older than this client and has no events to follow")]
    EventsUnsupported,
    /// It is of a release that let nobody log in.
    #[error("the agent is older than this client and cannot log in")]
    LoginUnsupported,
    /// It answered with an error.
    #[error("{0}")]
    Rejected(ErrorBody),
}

impl CallError {
    /// The error for the user, with the subject in front. The daemon's own messages name the subject already, except the
    /// one that it sends before it has read the request.
    pub(crate) fn with_subject(self, subject: impl Display) -> CliError {
        match self {
            Self::Rejected(body) if body.code != ErrorCode::Unavailable => body.into(),
            error => CliError::from(error).with_subject(subject),
        }
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let restart = "Run: rolecall agent restart";
        match error {
            CallError::Rejected(body) => body.into(),
            CallError::Location(_) => Self::new(
                Exit::Unreachable,
                message,
                "Set XDG_RUNTIME_DIR, or ROLECALL_SOCKET, to a place in a folder of your own with mode 700",
            ),
            CallError::NotRunning => Self::new(Exit::Unreachable, message, "Run: rolecall agent start"),
            CallError::Start(error) => error.into(),
            CallError::UntrustedSocket { path, can_close: true, .. } => Self::new(
                Exit::Unreachable,
                message,
                format!(
                    "Rolecall made it for itself alone; close it to others with: chmod 700 {}",
                    shell_quoted(&path)
                ),
            ),
            CallError::UntrustedSocket { .. } => Self::new(
                Exit::Unreachable,
                message,
                "Somebody else could be listening there: remove it, or set ROLECALL_SOCKET to a path in a folder of your own with mode 700",
            ),
            CallError::Connect { .. } | CallError::Busy(_) | CallError::NoResponse(_) | CallError::Disconnected(_) => {
                Self::new(Exit::Unreachable, message, restart)
            }
            CallError::InvalidResponse(_) => Self::new(Exit::Unreachable, message, restart),
            CallError::EventsUnsupported | CallError::LoginUnsupported => Self::new(Exit::Mismatch, message, restart),
            CallError::ProtocolMismatch { .. } => {
                Self::new(Exit::Mismatch, message, "Upgrade the older of the two, then run: rolecall agent restart")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::ProfileName;

    use super::*;

    #[test]
    fn every_message_names_the_profile_once() {
        let name: ProfileName = "prod".parse().unwrap();
        let said = |code, message| CallError::Rejected(ErrorBody::new(code, message)).with_subject(&name).to_string();
        assert_eq!(said(ErrorCode::Unavailable, "too many callers"), "prod: too many callers");
        assert_eq!(said(ErrorCode::AccessDenied, "prod: AWS says no"), "prod: AWS says no");
        assert!(CallError::NotRunning.with_subject(&name).to_string().starts_with("prod: the agent is not running"));
    }
}
