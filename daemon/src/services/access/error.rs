//! Errors of EKS, IAM and the API server as the client gets them.

use rolecall_aws::eks::{EksError, EksErrorReason};
use rolecall_aws::error::{AwsError, NETWORK_HINT};
use rolecall_aws::iam::IamError;
use rolecall_aws::kubernetes::KubernetesError;
use rolecall_core::cluster_access::change::PlanError;
use rolecall_protocol::{AccessFinding, ErrorBody, ErrorCode, Severity};

/// Returns the error of a call to EKS.
pub(in crate::services) fn eks_error(error: &EksError) -> ErrorBody {
    let message = &error.error.message;
    match &error.reason {
        EksErrorReason::Denied { action, .. } => denied(action, message),
        EksErrorReason::Throttled => {
            ErrorBody::new(ErrorCode::Throttled, format!("EKS throttles the calls: {message}"))
                .hint("Try again in a minute.")
        }
        EksErrorReason::NotFound
        | EksErrorReason::InUse
        | EksErrorReason::InvalidParameter
        | EksErrorReason::InvalidRequest
        | EksErrorReason::LimitExceeded => ErrorBody::new(ErrorCode::AccessRefused, format!("EKS: {message}")),
        EksErrorReason::Server | EksErrorReason::Other => aws_error("EKS", &error.error),
    }
}

/// Returns the error of a call to IAM.
pub(super) fn iam_error(error: &IamError) -> ErrorBody {
    aws_error("IAM", &error.error)
}

/// Returns the error of a permission that the profile's role lacks.
pub(super) fn denied(action: &str, message: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::AccessDenied, format!("AWS denied {action}: {message}"))
        .hint(format!("Ask for the permission {action}."))
}

/// Returns the error of a call to a service of AWS.
pub(super) fn aws_error(service: &str, error: &AwsError) -> ErrorBody {
    let code = error.kind.code();
    match error.of_endpoint(service) {
        Some((message, hint)) => ErrorBody::new(code, message).hint(hint),
        None => ErrorBody::new(code, format!("{service}: {}", error.message)),
    }
}

/// Returns the error of a call to the API server.
pub(super) fn kubernetes_error(error: &KubernetesError) -> ErrorBody {
    let message = error.to_string();
    match error {
        KubernetesError::Unauthorized => ErrorBody::new(ErrorCode::AccessDenied, message)
            .hint("The cluster does not map the role of this profile. An administrator can grant it access."),
        KubernetesError::Forbidden { .. } => ErrorBody::new(ErrorCode::AccessDenied, message),
        KubernetesError::Conflict { .. } | KubernetesError::AlreadyExists { .. } | KubernetesError::NotFound { .. } => {
            ErrorBody::new(ErrorCode::AccessChanged, message)
        }
        KubernetesError::Invalid { .. } => ErrorBody::new(ErrorCode::AccessRefused, message),
        KubernetesError::Unreachable { .. } => ErrorBody::new(ErrorCode::AwsUnavailable, message).hint(NETWORK_HINT),
        KubernetesError::InvalidResponse { .. } | KubernetesError::Status(_) => {
            ErrorBody::new(ErrorCode::AwsUnavailable, message)
        }
    }
}

/// Returns the error of a change that is refused as a whole.
pub(super) fn plan_error(error: &PlanError) -> ErrorBody {
    let body = ErrorBody::new(ErrorCode::AccessRefused, error.to_string());
    match error {
        PlanError::OwnLastWayIn { .. } | PlanError::LastAdministrator { .. } => {
            body.hint("To do it anyway, add --force.")
        }
        PlanError::NeedsAccessEntries => {
            body.hint("Use --via aws-auth, or allow access entries: rolecall access migrate --help")
        }
        PlanError::IgnoresAwsAuth => body.hint("Use --via access-entries."),
        PlanError::Unread { .. } | PlanError::AwsAuth { .. } | PlanError::InvalidRequest { .. } => body,
    }
}

/// Returns a finding without a hint.
pub(super) fn finding(severity: Severity, code: &str, message: impl Into<String>) -> AccessFinding {
    AccessFinding { severity, code: code.to_owned(), message: message.into(), hint: None, key: None, line: None }
}
