//! Errors on the wire. The crate's documentation has the table of codes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hint::Hint;
use crate::text::sanitize_for_terminal;

/// The kind of an error. It decides the HTTP status, the client's exit code and what the client does; the message is
/// for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request does not belong to this protocol.
    BadRequest,
    /// The client and the daemon use different versions of the protocol.
    ProtocolMismatch,
    /// No profile has this name.
    UnknownProfile,
    /// The configuration, or an AWS configuration file, has a mistake.
    ConfigInvalid,
    /// `KUBERNETES_EXEC_INFO` is malformed or names an unsupported apiVersion.
    ExecInfoInvalid,
    /// The kubeconfig has another API server or CA than the profile was added with.
    PinMismatch,
    /// The request names no API server, and does not carry the profile's entry key.
    EntryKeyMismatch,
    /// A constraint or a setting of the profile excludes the use, or the profile has only a long-lived access key.
    NotAllowed,
    /// A constraint of the profile cannot be checked.
    ConstraintUnenforceable,
    /// The profile is used for a limited time after `rolecall refresh`, which has not been run.
    RefreshNeeded,
    /// The user has been asked to confirm the use of the profile, and has not answered yet.
    ConfirmationPending,
    /// The user has not confirmed the use of the profile.
    ConfirmationDenied,
    /// AWS denied the call. It succeeds only after a change of permissions.
    AccessDenied,
    /// Who may enter the cluster has changed since the plan was made. Nothing was changed.
    AccessChanged,
    /// The cluster's state, EKS or a rule against locking users out does not allow this change of access.
    AccessRefused,
    /// The cluster does not exist in that region and account.
    ClusterNotFound,
    /// The source needs a login, an MFA code or an unlocked keyring first.
    LoginNeeded,
    /// The daemon is locked.
    Locked,
    /// The passphrase is wrong, missing or not acceptable.
    WrongPassphrase,
    /// A login failed.
    LoginFailed,
    /// No source has this name.
    UnknownSource,
    /// The OS keyring has no access key of this name.
    UnknownKey,
    /// The OS keyring is absent, locked or busy, or does not answer.
    KeyringUnavailable,
    /// The source has no usable credentials, and a login does not change that.
    SourceUnavailable,
    /// AWS throttles, or a limit of the daemon is reached.
    Throttled,
    /// AWS cannot be reached, or a response does not come from AWS (a proxy or captive portal may be intercepting it).
    AwsUnavailable,
    /// AWS rejected the signature's time: a clock is wrong.
    ClockSkewed,
    /// The token would exceed the size that EKS accepts.
    TokenTooLarge,
    /// The response took longer than [`Endpoint::response_timeout`](crate::Endpoint::response_timeout).
    Timeout,
    /// The daemon has too many connections, or is stopping. It has not started the request.
    Unavailable,
    /// A restart would fail, so the daemon keeps running as it is.
    RestartRefused,
    /// A bug of the daemon.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What has to happen before the failed operation can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// Nothing: the daemon retries by itself, with growing pauses.
    Retry,
    /// The user logs in.
    Login,
    /// The permissions or the configuration change.
    Change,
    /// The clock of this machine is set right.
    Clock,
    /// A class that this version does not know, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// Returns the client's exit code: 1 refused or failed, 3 daemon unreachable, 4 protocol mismatch, 5 user action
    /// needed, 70 bug.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::LoginNeeded | Self::Locked | Self::RefreshNeeded | Self::ConfirmationPending => 5,
            Self::ProtocolMismatch => 4,
            Self::Unavailable => 3,
            Self::BadRequest | Self::Internal => 70,
            _ => 1,
        }
    }

    /// Returns the HTTP status of a response with this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::ExecInfoInvalid => 400,
            Self::PinMismatch
            | Self::EntryKeyMismatch
            | Self::NotAllowed
            | Self::ConstraintUnenforceable
            | Self::ConfirmationDenied
            | Self::AccessDenied
            | Self::WrongPassphrase
            | Self::LoginFailed => 403,
            Self::UnknownProfile | Self::UnknownSource | Self::UnknownKey | Self::ClusterNotFound => 404,
            Self::ProtocolMismatch
            | Self::ConfigInvalid
            | Self::AccessChanged
            | Self::AccessRefused
            | Self::RestartRefused => 409,
            Self::LoginNeeded | Self::RefreshNeeded | Self::ConfirmationPending => 401,
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

/// An error on the wire.
///
/// Both texts are safe for a terminal: one line, no control characters, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The kind of the error.
    pub code: ErrorCode,
    /// What failed, with the name of the profile, source or file: `partner: the login has expired`.
    pub message: String,
    /// What the user can do next. In the JSON, the fields `hint` and `command`.
    #[serde(flatten)]
    pub hint: Option<Hint>,
    /// Whether the daemon retries by itself and the hint says so. Absent from the JSON if it is false, and from the
    /// JSON of older daemons.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic_retry: bool,
}

/// Whether a flag is absent from the JSON. Serde passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl ErrorBody {
    /// Creates an error without a hint.
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self { code, message: sanitize_for_terminal(message.as_ref()), hint: None, automatic_retry: false }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Records that the daemon retries by itself and that the hint says so.
    #[must_use]
    pub const fn automatic_retry(mut self) -> Self {
        self.automatic_retry = true;
        self
    }

    /// Sanitizes both texts again, for an error that came from another process.
    #[must_use]
    pub fn sanitized(self) -> Self {
        Self {
            code: self.code,
            message: sanitize_for_terminal(&self.message),
            hint: self.hint.as_ref().map(Hint::sanitized),
            automatic_retry: self.automatic_retry,
        }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_sentences(&self.message, self.hint.as_ref()))
    }
}

/// Joins a message and a second sentence, such as a [`Hint`], to one line. The message gets a period if it ends without
/// punctuation.
pub fn join_sentences<T: fmt::Display + ?Sized>(first: &str, second: Option<&T>) -> String {
    match second {
        Some(second) if first.ends_with(['.', '!', '?', '…']) => format!("{first} {second}"),
        Some(second) => format!("{first}. {second}"),
        None => first.to_owned(),
    }
}

/// The body of every response whose status is not 200: `{"error": {"code": …, "message": …, "hint": …}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_response_serializes_to_documented_json() {
        let body = ErrorBody::new(ErrorCode::LoginNeeded, "partner: the login has expired")
            .hint(Hint::command("rolecall login partner"));
        let json = serde_json::to_string(&ErrorResponse { error: body.clone() }).unwrap();
        assert_eq!(
            json,
            r#"{"error":{"code":"login_needed","message":"partner: the login has expired","hint":"Run: rolecall login partner","command":"rolecall login partner"}}"#
        );
        assert_eq!(serde_json::from_str::<ErrorResponse>(&json).unwrap().error, body);
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
        assert!(!old.automatic_retry && old.hint.is_none());
        let old: ErrorBody = serde_json::from_str(r#"{"code":"locked","message":"no","hint":"Run: x"}"#).unwrap();
        assert_eq!(old.hint, Some(Hint::text("Run: x")));
    }

    #[test]
    fn error_response_unknown_code_and_fields_are_read() {
        let answer: ErrorResponse =
            serde_json::from_str(r#"{"error":{"code":"moon_phase","message":"wait","more":1},"extra":true}"#).unwrap();
        assert_eq!(answer.error.code, ErrorCode::Unknown);
        assert_eq!(answer.error.code.exit_code(), 1);
    }
}
