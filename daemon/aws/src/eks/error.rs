//! Errors of EKS, by the code of the response.

use crate::error::{AwsError, AwsErrorKind};
use crate::retry::CallError;
use crate::texts;

/// A failed call to EKS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.message)]
pub struct EksError {
    /// What EKS rejected.
    pub reason: EksErrorReason,
    /// The class of the error, and the message of EKS or of the network. Safe for a terminal.
    pub error: AwsError,
}

/// What EKS rejected, by its error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EksErrorReason {
    /// `ResourceNotFoundException`: the cluster, the access entry, the associated policy or the update does not exist.
    NotFound,
    /// `ResourceInUseException`: the principal has an access entry already, or (UpdateClusterConfig) another update of the
    /// cluster is in progress.
    InUse,
    /// `InvalidParameterException`: a value is invalid, such as a principal that does not exist.
    InvalidParameter,
    /// `InvalidRequestException`: the state of the cluster does not allow the call, such as the authentication mode
    /// `CONFIG_MAP`.
    InvalidRequest,
    /// `AccessDeniedException`: the caller has no permission.
    Denied {
        /// The denied action, such as `eks:CreateAccessEntry`.
        action: String,
        /// The resource that the message of AWS names.
        resource: Option<String>,
    },
    /// `ThrottlingException`: the call was throttled until the last retry.
    Throttled,
    /// `ResourceLimitExceededException`: a quota of the account.
    LimitExceeded,
    /// `ServerException`, or another failure of the service.
    Server,
    /// Another error, such as no response: see [`EksError::error`].
    Other,
}

impl EksError {
    /// Classifies a failed call of an operation.
    pub(super) fn new(operation: &str, failed: CallError) -> Self {
        let CallError { error, code } = failed;
        let reason = match (code.as_deref(), error.kind) {
            (Some("ResourceNotFoundException"), _) => EksErrorReason::NotFound,
            (Some("ResourceInUseException"), _) => EksErrorReason::InUse,
            (Some("InvalidParameterException"), _) => EksErrorReason::InvalidParameter,
            (Some("InvalidRequestException"), _) => EksErrorReason::InvalidRequest,
            (Some("ResourceLimitExceededException"), _) => EksErrorReason::LimitExceeded,
            (_, AwsErrorKind::Denied) => EksErrorReason::Denied {
                action: format!("eks:{operation}"),
                resource: texts::denial(&error.message).resource,
            },
            (_, AwsErrorKind::Throttled) => EksErrorReason::Throttled,
            (_, AwsErrorKind::ServerFailed) => EksErrorReason::Server,
            _ => EksErrorReason::Other,
        };
        Self { reason, error }
    }

    /// A response of EKS that is not complete.
    #[must_use]
    pub fn invalid_response(message: &str) -> Self {
        Self { reason: EksErrorReason::Other, error: AwsError::invalid_response(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_reason_is_that_of_the_code() {
        use AwsErrorKind::{Denied, NotFound, Rejected, ServerFailed, Throttled};
        let of = |code: &str, kind: AwsErrorKind, message: &str| {
            let failed = CallError { error: AwsError::new(kind, message), code: Some(code.to_owned()) };
            EksError::new("CreateAccessEntry", failed).reason
        };
        for (code, kind, reason) in [
            ("ResourceNotFoundException", NotFound, EksErrorReason::NotFound),
            ("ResourceInUseException", Rejected, EksErrorReason::InUse),
            ("InvalidParameterException", Rejected, EksErrorReason::InvalidParameter),
            ("InvalidRequestException", Rejected, EksErrorReason::InvalidRequest),
            ("ResourceLimitExceededException", Rejected, EksErrorReason::LimitExceeded),
            ("ThrottlingException", Throttled, EksErrorReason::Throttled),
            ("ServerException", ServerFailed, EksErrorReason::Server),
            ("ClientException", Rejected, EksErrorReason::Other),
        ] {
            assert_eq!(of(code, kind, "ResourceInUseException AccessDenied"), reason, "{code}");
        }
        let resource = "arn:aws:eks:eu-west-1:111122223333:cluster/prod";
        let message =
            format!("User: x is not authorized to perform: eks:CreateAccessEntry on resource: {resource} because y");
        assert_eq!(
            of("AccessDeniedException", Denied, &message),
            EksErrorReason::Denied { action: "eks:CreateAccessEntry".to_owned(), resource: Some(resource.to_owned()) }
        );
        assert_eq!(
            of("AccessDeniedException", Denied, "no"),
            EksErrorReason::Denied { action: "eks:CreateAccessEntry".to_owned(), resource: None }
        );
    }
}
