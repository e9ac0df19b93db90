//! Errors of calls to AWS, by what Rolecall does next.

mod classify;

use std::error::Error;
use std::time::Duration;

use rolecall_protocol::{ErrorClass, ErrorCode, sanitize_for_terminal};

pub use crate::causes::causes;
use crate::connection;
pub use crate::connection::{CertificateProblem, ConnectionFailure, ProxyProblem};
use crate::denial::Denial;
use crate::shared_config::SettingsError;
use crate::texts;
use rolecall_core::circuit_breaker::CircuitOpen;
use rolecall_core::endpoint_calls::CallError;

/// A failed call to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// What Rolecall does next.
    pub kind: AwsErrorKind,
    /// The message of AWS or of the network. Safe for a terminal.
    pub message: String,
    /// The code of AWS, if it is one that has an answer of its own.
    pub code: Option<AwsErrorCode>,
    /// Why there is no response, if there is none.
    pub failure: Option<ConnectionFailure>,
    /// The host that gave no response, if it is known.
    pub host: Option<String>,
    /// How long to wait before the next call, if AWS or a circuit breaker said so.
    pub retry_after: Option<Duration>,
    /// Whether the circuit breaker was open: no call was made, and this is the error of the last one.
    pub is_breaker_open: bool,
}

/// An error code of AWS that has an answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorCode {
    /// `ExpiredToken`: the session that signs has expired.
    ExpiredToken,
    /// `InvalidClientTokenId`: AWS does not know the access key, or it belongs to another partition.
    UnknownKey,
    /// `SignatureDoesNotMatch`: the secret key is wrong, or a proxy changed the request.
    WrongSignature,
    /// `RegionDisabledException`: STS is not activated in the region.
    RegionDisabled,
    /// `ValidationError`: a parameter is invalid.
    Validation,
}

/// Errors of AWS by what Rolecall does next (B8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// AWS denied the call. Lasts until a policy changes.
    Denied,
    /// AWS rejected the request as invalid. Lasts until the configuration changes.
    Rejected,
    /// The credentials that signed the request are invalid or expired.
    CredentialsRejected,
    /// AWS throttled the call.
    Throttled,
    /// No response.
    Unreachable,
    /// The host does not exist, while other hosts are found: the region or the endpoint is misspelt.
    UnknownHost,
    /// The host has no valid certificate. Nothing was sent.
    Untrusted,
    /// AWS, or a proxy, responded that it failed.
    ServerFailed,
    /// A response that is not from AWS or is incomplete, such as the page of a captive portal.
    InvalidResponse,
    /// The time of the request is too far from AWS's time.
    Clock,
    /// The requested object does not exist.
    NotFound,
    /// The endpoint is plain HTTP on another machine. The request was not sent.
    Insecure,
    /// AWS's own files do not give the settings of the call. The request was not sent.
    Setting,
}

impl AwsErrorKind {
    /// Whether the same call can succeed soon. This includes a wrong time: the response of AWS sets the clock.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled
                | Self::Unreachable
                | Self::Untrusted
                | Self::ServerFailed
                | Self::InvalidResponse
                | Self::Clock
        )
    }

    /// Whether the endpoint failed, rather than the request. Circuit breakers count these errors.
    #[must_use]
    pub const fn is_endpoint_failure(self) -> bool {
        matches!(self.class(), ErrorClass::Retry)
    }

    /// Whether the path to the endpoint failed, which another network changes.
    #[must_use]
    pub const fn is_network_failure(self) -> bool {
        matches!(self, Self::Unreachable | Self::UnknownHost | Self::Untrusted)
    }

    /// What ends the error: time, a correct clock, or a change of permissions or configuration.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::Throttled
            | Self::Unreachable
            | Self::UnknownHost
            | Self::Untrusted
            | Self::ServerFailed
            | Self::InvalidResponse => ErrorClass::Retry,
            Self::Clock => ErrorClass::Clock,
            Self::Denied
            | Self::Rejected
            | Self::CredentialsRejected
            | Self::NotFound
            | Self::Insecure
            | Self::Setting => ErrorClass::Change,
        }
    }

    /// The error code in the protocol.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::AccessDenied,
            Self::Rejected | Self::Insecure | Self::Setting => ErrorCode::ConfigInvalid,
            Self::CredentialsRejected => ErrorCode::SourceUnavailable,
            Self::Throttled => ErrorCode::Throttled,
            Self::Unreachable | Self::UnknownHost | Self::Untrusted | Self::ServerFailed | Self::InvalidResponse => {
                ErrorCode::AwsUnavailable
            }
            Self::Clock => ErrorCode::ClockSkewed,
            Self::NotFound => ErrorCode::ClusterNotFound,
        }
    }
}

impl AwsError {
    /// An error without a time to wait.
    pub fn new(kind: AwsErrorKind, message: impl Into<String>) -> Self {
        let (message, code, failure) = (message.into(), None, None);
        Self { kind, message, code, failure, host: None, retry_after: None, is_breaker_open: false }
    }

    /// The error of a call that took too long.
    #[must_use]
    pub fn timed_out() -> Self {
        Self { failure: Some(ConnectionFailure::TimedOut), ..Self::new(AwsErrorKind::Unreachable, NO_RESPONSE) }
    }

    /// What AWS says about a denied call. `None` for another error.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        (self.kind == AwsErrorKind::Denied).then(|| texts::denial(&self.message))
    }

    /// An `InvalidResponse`.
    pub fn invalid_response(message: impl Into<String>) -> Self {
        Self::new(AwsErrorKind::InvalidResponse, message)
    }

    /// The error for an AWS profile whose settings are unknown.
    pub(crate) fn of_settings(error: &SettingsError) -> Self {
        Self::new(AwsErrorKind::Setting, sanitize_for_terminal(&error.to_string()))
    }
}

/// The message of a call whose timeout ended.
pub const NO_RESPONSE: &str = "no response in time";
/// The hint of a failed connection.
pub const NETWORK_HINT: &str =
    "Check the network and the VPN, and [network] in config.toml: proxy, no_proxy, ca_bundle.";

impl AwsError {
    /// What happened at a service whose endpoint, and not the request, failed, and what the user can do. `None` for other errors.
    #[must_use]
    pub fn of_endpoint(&self, service: &str) -> Option<(String, &'static str)> {
        let cause = &self.message;
        let at = self.host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
        Some(match self.kind {
            AwsErrorKind::Unreachable => (format!("{service} cannot be reached{at}: {cause}"), NETWORK_HINT),
            AwsErrorKind::UnknownHost => (
                format!("{service} cannot be reached{at}: {cause}"),
                "Check the region and endpoint_url for a typing error. Behind a proxy, set [network] (proxy, no_proxy, ca_bundle) in config.toml.",
            ),
            AwsErrorKind::Untrusted => (
                format!("{service}{at} is not trusted: {cause}"),
                "Check the clock and [network] in config.toml: a proxy that inspects TLS needs its certificate in ca_bundle (or name it in proxy, no_proxy).",
            ),
            AwsErrorKind::ServerFailed => {
                (format!("{service} is reached but fails: {cause}"), "Try again in a moment.")
            }
            AwsErrorKind::InvalidResponse => (
                format!("invalid response from {service}: {cause}"),
                "Check the network: a proxy or captive portal may be intercepting the connection; see [network] (proxy, no_proxy, ca_bundle) in config.toml.",
            ),
            AwsErrorKind::Setting => (
                format!("{cause}; the request was not sent"),
                "Correct the setting in AWS's own configuration, or allow it in config.toml.",
            ),
            _ => return None,
        })
    }
}

impl CallError for AwsError {
    fn timed_out() -> Self {
        Self::timed_out()
    }

    fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    fn is_endpoint_failure(&self) -> bool {
        self.kind.is_endpoint_failure()
    }

    fn is_of_the_network(&self) -> bool {
        // A proxy without a network responds with a server error.
        self.kind.is_network_failure() || matches!(self.kind, AwsErrorKind::ServerFailed)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<CircuitOpen<Self>> for AwsError {
    /// The last error of the endpoint, with the time until the next call.
    fn from(open: CircuitOpen<Self>) -> Self {
        Self { retry_after: Some(open.retry_after), is_breaker_open: true, ..Self::clone(&open.failure) }
    }
}

/// The message of the last cause, or the sentence for a call without a response. The outer errors of the SDK have little
/// information.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    match connection::host_of(error) {
        Some(host) => format!("{host}: {}", connection::describe(error).1),
        None => crate::causes::innermost(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_endpoint_message_names_the_host() {
        let error = AwsError { host: Some("sts.x".to_owned()), ..AwsError::new(AwsErrorKind::Unreachable, "no") };
        let (message, hint) = error.of_endpoint("STS").unwrap();
        assert_eq!(message, "STS cannot be reached at sts.x: no");
        assert!(hint.contains("[network]"), "{hint}");
        let (message, _) = AwsError::from_response(500, None, "").of_endpoint("STS").unwrap();
        assert_eq!(message, "STS is reached but fails: status 500");
        assert_eq!(AwsError::new(AwsErrorKind::Denied, "no").of_endpoint("STS"), None);
    }
}
