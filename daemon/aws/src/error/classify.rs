//! Classifies errors of the SDK and error responses of AWS.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rolecall_core::circuit_breaker::MAX_OPEN_FOR;
use rolecall_protocol::sanitize_for_terminal;

use super::{AwsError, AwsErrorCode, AwsErrorKind, causes, innermost};
use crate::connection::{self, ConnectionFailure};
use crate::http::InsecureEndpoint;
use crate::texts;

impl AwsError {
    /// Classifies an error of the SDK.
    pub fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(service) => {
                let meta = service.err();
                let status = service.raw().status().as_u16();
                let error = Self::from_response(status, meta.code(), meta.message().unwrap_or_default());
                Self { retry_after: retry_after(service.raw()), ..error }
            }
            SdkError::TimeoutError(_) => Self::timed_out(),
            SdkError::ResponseError(response) => {
                let invalid = Self::invalid_response("the response is not from AWS");
                Self { retry_after: retry_after(response.raw()), ..invalid }
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) if is_insecure(error) => {
                Self::new(AwsErrorKind::Insecure, InsecureEndpoint.to_string())
            }
            SdkError::DispatchFailure(_) => {
                let (failure, message) = connection::describe(error);
                let kind = match failure {
                    ConnectionFailure::UnknownHost => AwsErrorKind::UnknownHost,
                    ConnectionFailure::Certificate(_) => AwsErrorKind::Untrusted,
                    _ => AwsErrorKind::Unreachable,
                };
                let host = connection::host_of(error);
                Self { host, failure: Some(failure), ..Self::new(kind, message) }
            }
            _ => Self::new(AwsErrorKind::Rejected, innermost(error)),
        }
    }

    /// Classifies an error response by its code, or by its status if it has no code.
    pub(crate) fn from_response(status: u16, code: Option<&str>, message: &str) -> Self {
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
                AwsErrorKind::ServerFailed
            }
            (Some(code), _) if code.starts_with("AccessDenied") => AwsErrorKind::Denied,
            (Some("ResourceNotFoundException"), _) => AwsErrorKind::NotFound,
            (Some(_), _) => AwsErrorKind::Rejected,
            (None, _) => {
                return Self::invalid_response(format!("a response with status {status} that is not from AWS"));
            }
        };
        let message = match (code, message) {
            (Some(code), "") => format!("{code} (status {status})"),
            (None, "") => format!("status {status}"),
            (_, message) if status >= 500 => format!("status {status}: {message}"),
            (_, message) => message.to_owned(),
        };
        Self { code: code.and_then(AwsErrorCode::read), ..Self::new(kind, sanitize_for_terminal(&message)) }
    }
}

impl AwsErrorCode {
    /// The codes of query protocols and of REST protocols differ.
    fn read(code: &str) -> Option<Self> {
        Some(match code {
            "ExpiredToken" | "ExpiredTokenException" => Self::ExpiredToken,
            "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidToken" => Self::UnknownKey,
            "SignatureDoesNotMatch" | "InvalidSignatureException" => Self::WrongSignature,
            "RegionDisabledException" => Self::RegionDisabled,
            "ValidationError" => Self::Validation,
            _ => return None,
        })
    }
}

/// Reads the `Retry-After` header in seconds (RFC 9110, 10.2.3). AWS does not send its other form, a date.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let wait = response.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)?;
    Some(wait.min(MAX_OPEN_FOR))
}

fn is_insecure(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error + 'static>::is::<InsecureEndpoint>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_response_classifies_by_code_then_status() {
        use AwsErrorKind::{
            Clock, CredentialsRejected, Denied, InvalidResponse, NotFound, Rejected, ServerFailed, Throttled,
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
            (503, Some("ServiceUnavailable"), "", ServerFailed),
            (500, None, "", ServerFailed),
            (404, Some("ResourceNotFoundException"), "No cluster found", NotFound),
            (400, None, "<html>", InvalidResponse),
        ] {
            assert_eq!(AwsError::from_response(status, code, message).kind, kind, "{status} {code:?} {message}");
        }
    }

    #[test]
    fn from_response_keeps_codes_with_an_answer_of_their_own() {
        for (code, expected) in [
            ("ExpiredToken", Some(AwsErrorCode::ExpiredToken)),
            ("UnrecognizedClientException", Some(AwsErrorCode::UnknownKey)),
            ("SignatureDoesNotMatch", Some(AwsErrorCode::WrongSignature)),
            ("RegionDisabledException", Some(AwsErrorCode::RegionDisabled)),
            ("ValidationError", Some(AwsErrorCode::Validation)),
            ("AccessDenied", None),
        ] {
            assert_eq!(AwsError::from_response(403, Some(code), "no").code, expected, "{code}");
        }
    }
}
