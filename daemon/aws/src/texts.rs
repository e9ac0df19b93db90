//! Every text of AWS that decides something. AWS gives no code for these cases, or gives one code for several of them.
//! Each function names the service or SDK crate that writes the text, the version of the SDK in use (`Cargo.lock`), and
//! what depends on the result. Error codes are matched in [`super::error`].

use std::error::Error;

use crate::causes::causes;

/// A permission that AssumeRole needs beside `sts:AssumeRole`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtraPermission {
    /// `sts:TagSession`
    TagSession,
    /// `sts:SetSourceIdentity`
    SetSourceIdentity,
}

/// Whether AWS rejected a signature because of its time. STS and EKS, code `SignatureDoesNotMatch`; aws-sdk-sts 1.124.0,
/// aws-sdk-eks 1.160.0. Decides between `AwsErrorKind::Clock` and `CredentialsRejected`.
pub(super) fn is_about_time(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("not yet current")
}

/// Whether a role's sessions may not last that long. STS, code `ValidationError`; aws-sdk-sts 1.124.0. Decides whether
/// AssumeRole is called again for a shorter session.
pub(crate) fn is_duration_too_long(message: &str) -> bool {
    message.contains("DurationSeconds")
}

/// Whether tags and policies are too large for a session. STS, code `PackedPolicyTooLarge`; aws-sdk-sts 1.124.0. An
/// error without a text has the code as its message. Decides the hint.
pub(crate) fn is_session_too_large(message: &str) -> bool {
    message.contains("PackedPolicyTooLarge") || (message.contains("acked") && message.contains("allotted space"))
}

/// The extra permission that AssumeRole was denied for. STS, code `AccessDenied`; aws-sdk-sts 1.124.0. Decides the hint.
pub(crate) fn denied_permission(message: &str) -> Option<ExtraPermission> {
    if message.contains("sts:TagSession") {
        Some(ExtraPermission::TagSession)
    } else if message.contains("sts:SetSourceIdentity") {
        Some(ExtraPermission::SetSourceIdentity)
    } else {
        None
    }
}

/// The resource that AWS denied an action on. Each service, code `AccessDenied…`. Shown to the user; decides nothing.
pub(crate) fn denied_resource(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(" on resource: ")?;
    rest.split_whitespace().next()
}

/// Whether AWS refused an MFA code: wrong, expired or used. STS, code `AccessDenied`; aws-sdk-sts 1.124.0.
/// Decides whether the error is about the code, so that the user can give another one.
pub(crate) fn is_mfa_code_refused(message: &str) -> bool {
    message.contains("MultiFactorAuthentication failed")
}

/// Whether the user has to run `aws login` again. aws-config 1.13.0 (`login/token.rs` and `login.rs`), whose error
/// types are private. Decides between a login and a failure that is retried.
pub(crate) fn is_aws_login_expired(error: &(dyn Error + 'static)) -> bool {
    const TEXTS: [&str; 3] = ["Login token", "reauthenticate", "login/cache"];
    causes(error).any(|cause| {
        let text = cause.to_string();
        TEXTS.iter().any(|known| text.contains(known))
    })
}

/// Whether a server closed the connection before its response. hyper 1.12 (`error.rs`), which only servers use here. Decides
/// the message.
pub(crate) fn is_closed_early(error: &(dyn Error + 'static)) -> bool {
    matches!(error.to_string().as_str(), "connection closed before message completed" | "connection closed")
}

/// Why a proxy gave no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelError {
    /// Status 407.
    LoginRequired,
    /// Another status.
    Refused,
    /// The response is not HTTP, or is too long.
    NotAProxy,
}

/// The error of a proxy's response to CONNECT. hyper-util 0.1.21 (`client/legacy/connect/proxy/tunnel.rs`), whose error type
/// is private. Decides the message.
pub(crate) fn tunnel_error(error: &(dyn Error + 'static)) -> Option<TunnelError> {
    match error.to_string().strip_prefix("tunnel error: ")? {
        "proxy authorization required" => Some(TunnelError::LoginRequired),
        "unsuccessful" => Some(TunnelError::Refused),
        "proxy response headers too long" | "unexpected end of file" => Some(TunnelError::NotAProxy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_recognised() {
        assert!(is_about_time("Signature expired: 20260102T030405Z is now earlier than 20260102T031405Z"));
        assert!(is_about_time("Signature not yet current: 20260102T030405Z is still later than 20260102T025405Z"));
        assert!(!is_about_time("The request signature we calculated does not match the signature you provided."));
        assert!(is_duration_too_long(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        ));
        assert!(is_session_too_large("PackedPolicyTooLarge (status 400)"));
        assert!(is_session_too_large("Packed size of session tags consumes 101% of allotted space."));
        let denied = |action: &str| denied_permission(&format!("User: x is not authorized to perform: {action}"));
        assert_eq!(denied("sts:TagSession"), Some(ExtraPermission::TagSession));
        assert_eq!(denied("sts:SetSourceIdentity"), Some(ExtraPermission::SetSourceIdentity));
        assert_eq!(denied("sts:AssumeRole"), None);
        assert!(is_mfa_code_refused("MultiFactorAuthentication failed with invalid MFA one time pass code."));
        for text in [
            "cached Login token is expired",
            "Your session has expired. Please reauthenticate.",
            "failed to read `/home/dev/.aws/login/cache/1.json`",
        ] {
            assert!(is_aws_login_expired(&std::io::Error::other(text)), "{text}");
        }
        assert!(!is_aws_login_expired(&std::io::Error::other("connection refused")));
    }
}
