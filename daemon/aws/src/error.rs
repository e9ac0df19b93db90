//! What an error of AWS, or of the way to it, means for what we do next.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rolecall_protocol::{ErrorClass, ErrorCode, sanitize_for_terminal};

pub use crate::causes::{causes, innermost};
use crate::http::InsecureEndpoint;
use crate::texts;
use rolecall_core::circuit_breaker::CircuitOpen;
use rolecall_core::circuit_breaker::MAX_OPEN_FOR;

/// What went wrong with a call to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// What it means.
    pub kind: AwsErrorKind,
    /// What AWS, or the network, says. Safe for a terminal.
    pub message: String,
    /// How long no other call makes sense, where somebody said so.
    pub retry_after: Option<Duration>,
    /// Whether no call was made, and this is what the last one came to: the endpoint is left alone.
    pub is_breaker_open: bool,
}

/// What an error of AWS means for what we do next (B8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// The caller may not. Lasts until somebody changes a policy.
    Denied,
    /// The request cannot be fulfilled as it is. Lasts until somebody changes the configuration.
    Rejected,
    /// The credentials that signed are not, or no longer, good.
    CredentialsRejected,
    /// Fewer calls, please.
    Throttled,
    /// No answer, or AWS has last_failure.
    Unreachable,
    /// An answer that is not AWS's own: a captive portal, a truncated document.
    InvalidResponse,
    /// The request's time is too far from AWS's.
    Clock,
    /// The thing does not exist.
    NotFound,
    /// The endpoint is plain HTTP on another machine; nothing was sent.
    Insecure,
}

impl AwsErrorKind {
    /// Whether the same call may well succeed in a moment. A wrong time is among them: the clock learns the right one from
    /// AWS's answer.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::InvalidResponse | Self::Clock)
    }

    /// Whether it says something about the endpoint, rather than about what was asked of it.
    #[must_use]
    pub const fn is_endpoint_failure(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::InvalidResponse)
    }

    /// What has to happen for it to end.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::Throttled | Self::Unreachable | Self::InvalidResponse => ErrorClass::Retry,
            Self::Clock => ErrorClass::Clock,
            Self::Denied | Self::Rejected | Self::CredentialsRejected | Self::NotFound | Self::Insecure => {
                ErrorClass::Change
            }
        }
    }

    /// The code at the wire.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::AccessDenied,
            Self::Rejected | Self::Insecure => ErrorCode::ConfigInvalid,
            Self::CredentialsRejected => ErrorCode::SourceUnavailable,
            Self::Throttled => ErrorCode::Throttled,
            Self::Unreachable | Self::InvalidResponse => ErrorCode::AwsUnavailable,
            Self::Clock => ErrorCode::ClockSkewed,
            Self::NotFound => ErrorCode::ClusterNotFound,
        }
    }
}

impl AwsError {
    /// An error that says no time.
    pub fn new(kind: AwsErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, is_breaker_open: false }
    }

    /// An error of ours about what AWS answered.
    pub fn invalid_response(message: impl Into<String>) -> Self {
        Self::new(AwsErrorKind::InvalidResponse, message)
    }

    /// Tells what an error of the SDK means.
    pub fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let meta = service.err();
                let status = service.raw().status().as_u16();
                let said = Self::from_response(status, meta.code(), meta.message().unwrap_or_default());
                Self { retry_after: retry_after(service.raw()), ..said }
            }
            SdkError::TimeoutError(_) => Self::new(AwsErrorKind::Unreachable, "no answer in time"),
            SdkError::ResponseError(answer) => {
                let invalid = Self::invalid_response("the answer is not one of AWS's");
                Self { retry_after: retry_after(answer.raw()), ..invalid }
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) if is_insecure(error) => {
                Self::new(AwsErrorKind::Insecure, InsecureEndpoint.to_string())
            }
            SdkError::DispatchFailure(_) => Self::new(AwsErrorKind::Unreachable, innermost(error)),
            _ => Self::new(AwsErrorKind::Rejected, innermost(error)),
        }
    }

    /// Tells what an answer means (eks-auth-facts, 3.4): the code if there is one, else the status.
    fn from_response(status: u16, code: Option<&str>, message: &str) -> Self {
        let kind = match (code, status) {
            (Some(code), _) if code.contains("Throttl") || code.contains("TooManyRequests") => AwsErrorKind::Throttled,
            (Some("RequestLimitExceeded" | "SlowDown"), _) | (_, 429) => AwsErrorKind::Throttled,
            (Some("RequestExpired" | "RequestTimeTooSkewed"), _) => AwsErrorKind::Clock,
            (Some("SignatureDoesNotMatch" | "InvalidSignatureException"), _) if texts::is_about_time(message) => {
                AwsErrorKind::Clock
            }
            (
                Some(
                    "ExpiredToken"
                    | "ExpiredTokenException"
                    | "InvalidClientTokenId"
                    | "UnrecognizedClientException"
                    | "InvalidToken"
                    | "SignatureDoesNotMatch"
                    | "InvalidSignatureException",
                ),
                _,
            ) => AwsErrorKind::CredentialsRejected,
            (Some("IDPCommunicationError" | "ServiceUnavailable" | "InternalFailure"), _) | (_, 500..) => {
                AwsErrorKind::Unreachable
            }
            (Some(code), _) if code.starts_with("AccessDenied") => AwsErrorKind::Denied,
            (Some("ResourceNotFoundException"), _) => AwsErrorKind::NotFound,
            (Some(_), _) => AwsErrorKind::Rejected,
            (None, _) => {
                return Self::invalid_response(format!("an answer with status {status} that is not one of AWS's"));
            }
        };
        let message = match (code, message) {
            (Some(code), "") => format!("{code} (status {status})"),
            (_, message) if status >= 500 => format!("it answers with status {status}: {message}"),
            (_, message) => message.to_owned(),
        };
        Self::new(kind, sanitize_for_terminal(&message))
    }
}

impl From<CircuitOpen<Self>> for AwsError {
    /// What the last caller was told, and for how long it holds.
    fn from(open: CircuitOpen<Self>) -> Self {
        Self { retry_after: Some(open.retry_after), is_breaker_open: true, ..Self::clone(&open.failure) }
    }
}

/// How long a service asks to be left alone: seconds (RFC 9110, 10.2.3). AWS does not send the other form, a date.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let asked = answer.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)?;
    Some(asked.min(MAX_OPEN_FOR))
}

fn is_insecure(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error + 'static>::is::<InsecureEndpoint>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_class() {
        use AwsErrorKind::{
            Clock, CredentialsRejected, Denied, InvalidResponse, NotFound, Rejected, Throttled, Unreachable,
        };
        for (status, code, message, kind) in [
            (403, Some("AccessDenied"), "User: x is not authorized", Denied),
            (400, Some("AccessDeniedException"), "", Denied),
            (400, Some("ValidationError"), "", Rejected),
            (400, Some("PackedPolicyTooLarge"), "", Rejected),
            (403, Some("RegionDisabledException"), "", Rejected),
            (403, Some("ExpiredToken"), "", CredentialsRejected),
            (403, Some("InvalidClientTokenId"), "", CredentialsRejected),
            (
                403,
                Some("SignatureDoesNotMatch"),
                "The request signature we calculated does not match",
                CredentialsRejected,
            ),
            (403, Some("SignatureDoesNotMatch"), "Signature expired: 2026…", Clock),
            (403, Some("SignatureDoesNotMatch"), "Signature not yet current: 2026…", Clock),
            (403, Some("RequestTimeTooSkewed"), "", Clock),
            (400, Some("Throttling"), "Rate exceeded", Throttled),
            (400, Some("ThrottlingException"), "", Throttled),
            (429, None, "", Throttled),
            (503, Some("ServiceUnavailable"), "", Unreachable),
            (500, None, "", Unreachable),
            (404, Some("ResourceNotFoundException"), "No cluster found", NotFound),
            (400, None, "<html>", InvalidResponse),
        ] {
            assert_eq!(AwsError::from_response(status, code, message).kind, kind, "{status} {code:?} {message}");
        }
    }
}
