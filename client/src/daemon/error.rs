//! Why a call failed, with a hint for the user.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_protocol::location::LocationError;
use rolecall_protocol::{ErrorBody, ErrorCode, Hint, PROTOCOL_VERSION};
use rolecall_trusted_file::shell_quoted;

use super::http::HttpError;
use super::spawn::SpawnError;
use crate::error::{CliError, Exit};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no folder for the socket.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// No process listens at the socket.
    #[error("the agent is not running")]
    NotRunning,
    /// The daemon did not run and could not be started.
    #[error(transparent)]
    Start(#[from] SpawnError),
    /// The socket or its folder may belong to another user.
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
        /// The error of the system.
        cause: io::Error,
    },
    /// The daemon's queue of connections is full.
    #[error("the agent accepts no calls (waited {})", time_limit(*.0))]
    Busy(Duration),
    /// The daemon accepted the call and did not respond in time.
    #[error("the agent did not answer within {}", time_limit(*.0))]
    NoResponse(Duration),
    /// The connection broke during the call.
    #[error("the agent ended during the call: {0}")]
    Disconnected(HttpError),
    /// The response is not one of the daemon.
    #[error("the process at the agent's socket is not rolecalld: {0}")]
    InvalidResponse(String),
    /// The daemon speaks another version of the protocol.
    #[error("the agent speaks version {theirs} of the protocol and this client version {PROTOCOL_VERSION}")]
    ProtocolMismatch {
        /// The daemon's version, or a question mark.
        theirs: String,
    },
    /// The daemon is older than the events endpoint.
    #[error("the agent is older than this client and does not support status --watch")]
    EventsUnsupported,
    /// The daemon is older than the endpoint of a command.
    #[error("the agent is older than this client and does not support {0}")]
    Unsupported(&'static str),
    /// The daemon responded with an error.
    #[error("{0}")]
    Rejected(ErrorBody),
}

/// Returns a time limit in seconds, or in milliseconds if it is below one second.
fn time_limit(limit: Duration) -> String {
    match limit.as_secs() {
        0 => format!("{} ms", limit.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

impl CallError {
    /// The error for the user, with the subject in front. The daemon's own messages name the subject already, except
    /// the one that it sends before it has read the request.
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
        let unreachable = |hint: Hint| Self::new(Exit::Unreachable, &message, hint);
        let restart = Hint::command("rolecall agent restart");
        match error {
            CallError::Rejected(body) => body.into(),
            CallError::Location(error) => error.into(),
            CallError::NotRunning => unreachable(Hint::command("rolecall agent start")),
            CallError::Start(error) => error.into(),
            CallError::UntrustedSocket { path, can_close: true, .. } => {
                unreachable(format!("Make the folder private: chmod 700 {}", shell_quoted(&path)).into())
            }
            CallError::UntrustedSocket { .. } => unreachable(
                "Another user may be listening there: remove it, or set ROLECALL_SOCKET to a path in a folder of your own with mode 700".into(),
            ),
            CallError::Connect { .. }
            | CallError::Busy(_)
            | CallError::NoResponse(_)
            | CallError::Disconnected(_)
            | CallError::InvalidResponse(_) => unreachable(restart),
            CallError::EventsUnsupported | CallError::Unsupported(_) => Self::new(Exit::Mismatch, message, restart),
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
    fn time_limit_below_a_second_is_in_milliseconds() {
        let said = |millis| CallError::NoResponse(Duration::from_millis(millis)).to_string();
        assert_eq!(said(300), "the agent did not answer within 300 ms");
        assert_eq!(said(1500), "the agent did not answer within 1 s");
    }

    #[test]
    fn with_subject_names_the_profile_once() {
        let name: ProfileName = "prod".parse().unwrap();
        let said = |code, message| CallError::Rejected(ErrorBody::new(code, message)).with_subject(&name).to_string();
        assert_eq!(said(ErrorCode::Unavailable, "too many callers"), "prod: too many callers");
        assert_eq!(said(ErrorCode::AccessDenied, "prod: AWS says no"), "prod: AWS says no");
        assert!(CallError::NotRunning.with_subject(&name).to_string().starts_with("prod: the agent is not running"));
    }
}
