//! What goes wrong, as the wire says it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::sanitize_for_terminal;

/// What kind of thing went wrong. Decides the client's exit code; people read [`ErrorBody::message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is not one that this protocol knows.
    BadRequest,
    /// The client and the daemon speak different versions of the protocol.
    ProtocolMismatch,
    /// No profile of that name is configured.
    UnknownProfile,
    /// The configuration (or AWS's own) is wrong.
    ConfigInvalid,
    /// `KUBERNETES_EXEC_INFO` is malformed or of an unsupported apiVersion.
    ExecInfoInvalid,
    /// The kubeconfig names another server or CA than the profile was added with.
    PinMismatch,
    /// AWS said no. Lasts until somebody changes something.
    AccessDenied,
    /// The cluster does not exist in that region and account.
    ClusterNotFound,
    /// A person has to log in (or unlock, or give a code) first.
    LoginNeeded,
    /// The daemon is locked.
    Locked,
    /// That passphrase is not the one.
    WrongPassphrase,
    /// A login did not succeed.
    LoginFailed,
    /// No source of that name is configured.
    UnknownSource,
    /// There are no keys of that name in the OS keyring.
    UnknownKey,
    /// The OS keyring cannot be used: it is absent, locked, or does not answer.
    KeyringUnavailable,
    /// The source has no usable credentials and no login mends that.
    SourceUnavailable,
    /// AWS asks for fewer calls.
    Throttled,
    /// AWS cannot be reached, or answers with something that is not its own.
    AwsUnavailable,
    /// AWS refuses because of the time, which is wrong here or there.
    ClockSkewed,
    /// The token would be larger than EKS takes.
    TokenTooLarge,
    /// It took longer than the caller can wait.
    Timeout,
    /// Too many calls at once, or the daemon is stopping.
    Unavailable,
    /// The daemon would not survive a restart, and goes on as it is.
    RestartRefused,
    /// A bug of ours.
    Internal,
    /// A code of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// What an error needs in order to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// Time: it is tried again, with pauses.
    Retry,
    /// A person who logs in.
    Login,
    /// Somebody who changes something: a policy, a configuration.
    Change,
    /// A look at the clock.
    Clock,
    /// A class of a newer daemon, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The client's exit code: 1 refused or failed, 3 the daemon cannot serve, 4 the protocols differ, 5 a person is
    /// needed, 70 a bug of ours.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::LoginNeeded | Self::Locked => 5,
            Self::ProtocolMismatch => 4,
            Self::Unavailable => 3,
            Self::BadRequest | Self::Internal => 70,
            _ => 1,
        }
    }

    /// The HTTP status that carries it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::ExecInfoInvalid => 400,
            Self::PinMismatch | Self::AccessDenied | Self::WrongPassphrase | Self::LoginFailed => 403,
            Self::UnknownProfile | Self::UnknownSource | Self::UnknownKey | Self::ClusterNotFound => 404,
            Self::ProtocolMismatch | Self::ConfigInvalid | Self::RestartRefused => 409,
            Self::LoginNeeded => 401,
            Self::Locked => 423,
            Self::TokenTooLarge => 422,
            Self::Throttled => 429,
            Self::Internal | Self::Unknown => 500,
            Self::SourceUnavailable | Self::AwsUnavailable | Self::ClockSkewed => 502,
            Self::Unavailable | Self::KeyringUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An error as it crosses the wire: `{"error": {"code": …, "message": …, "hint": …}}`.
///
/// Both texts are safe for a terminal: one line, no control characters, nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The kind.
    pub code: ErrorCode,
    /// What happened, to which profile or file.
    pub message: String,
    /// What to do next, as a sentence or a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the daemon retries by itself and the hint says so. Left out of the JSON where it is false; a daemon that
    /// does not know the field never sends it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic_retry: bool,
}

/// Whether to leave a flag out of the JSON. Serde passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl ErrorBody {
    /// An error without advice.
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self { code, message: sanitize_for_terminal(message.as_ref()), hint: None, automatic_retry: false }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(sanitize_for_terminal(hint.as_ref()));
        self
    }

    /// Records that the daemon retries by itself and that the hint says so.
    #[must_use]
    pub const fn automatic_retry(mut self) -> Self {
        self.automatic_retry = true;
        self
    }

    /// The same, made safe once more: for whoever received it from elsewhere.
    #[must_use]
    pub fn sanitized(self) -> Self {
        Self {
            code: self.code,
            message: sanitize_for_terminal(&self.message),
            hint: self.hint.as_deref().map(sanitize_for_terminal),
            automatic_retry: self.automatic_retry,
        }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(&self.message, self.hint.as_deref()))
    }
}

/// A message and its advice as one line.
pub fn sentence(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) if message.ends_with(['.', '!', '?', '…']) => format!("{message} {hint}"),
        Some(hint) => format!("{message}. {hint}"),
        None => message.to_owned(),
    }
}

/// The envelope of [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_shape() {
        let body = ErrorBody::new(ErrorCode::LoginNeeded, "partner: the login has expired")
            .hint("Run: rolecall login partner");
        let json = serde_json::to_string(&ErrorAnswer { error: body.clone() }).unwrap();
        assert_eq!(
            json,
            r#"{"error":{"code":"login_needed","message":"partner: the login has expired","hint":"Run: rolecall login partner"}}"#
        );
        assert_eq!(body.to_string(), "partner: the login has expired. Run: rolecall login partner");
        assert_eq!(body.code.to_string(), "login_needed");
        assert_eq!(body.code.exit_code(), 5);
    }

    #[test]
    fn automatic_retry_is_sent_only_where_it_is_set() {
        let body = ErrorBody::new(ErrorCode::KeyringUnavailable, "down").hint("wait").automatic_retry();
        let json = serde_json::to_string(&body).unwrap();
        assert_eq!(json, r#"{"code":"keyring_unavailable","message":"down","hint":"wait","automatic_retry":true}"#);
        assert_eq!(serde_json::from_str::<ErrorBody>(&json).unwrap(), body);
        assert!(body.sanitized().automatic_retry);
        let old: ErrorBody = serde_json::from_str(r#"{"code":"keyring_unavailable","message":"down"}"#).unwrap();
        assert!(!old.automatic_retry);
    }

    #[test]
    fn a_newer_daemon_is_understood() {
        let answer: ErrorAnswer =
            serde_json::from_str(r#"{"error":{"code":"moon_phase","message":"wait","more":1},"extra":true}"#).unwrap();
        assert_eq!(answer.error.code, ErrorCode::Unknown);
        assert_eq!(answer.error.code.exit_code(), 1);
    }
}
