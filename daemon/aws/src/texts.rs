//! Every text of AWS that decides something. AWS gives no code for these cases, or gives one code for several of them.
//! Each function names the service or SDK crate that writes the text, the version of the SDK in use (`Cargo.lock`), and
//! what depends on the result. Error codes are matched in [`super::error`].

use std::error::Error;

use crate::denial::{Denial, DenialReason, MfaDenial, PolicyKind};

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

/// The parts of the message of a denied call. Each service, code `AccessDenied…`; the wordings of "Troubleshoot access denied
/// error messages" (IAM User Guide), those of role trust policies, and those of STS for MFA and for the root user. Shown to
/// the user; decides nothing.
pub(crate) fn denial(message: &str) -> Denial {
    let between = |start: &str, end: &str| {
        let (_, rest) = message.split_once(start)?;
        rest.split_once(end).map(|(part, _)| part.trim().to_owned())
    };
    let word_after = |start: &str| {
        let word = message.split_once(start)?.1.split_whitespace().next()?;
        let word = word.trim_matches(['"', '\'', ',', '.']);
        (!word.is_empty()).then(|| word.to_owned())
    };
    let (reason, policy) = denial_reason(message);
    Denial {
        caller: between("User: ", " is not authorized"),
        action: word_after(" not authorized to perform: ").or_else(|| word_after("Not authorized to perform ")),
        resource: word_after(" on resource: "),
        reason,
        policy,
    }
}

/// The reason in a message, and the ARN of the policy behind it.
fn denial_reason(message: &str) -> (DenialReason, Option<String>) {
    if message.contains("Roles may not be assumed by root accounts") {
        return (DenialReason::RootUser, None);
    }
    if let Some((_, why)) = message.split_once("MultiFactorAuthentication failed") {
        let denial = if why.contains("must provide both") {
            MfaDenial::Incomplete
        } else if why.contains("serial number is valid") {
            MfaDenial::Device
        } else {
            MfaDenial::Code
        };
        return (DenialReason::Mfa(denial), None);
    }
    let text = message.to_ascii_lowercase();
    if let Some((_, rest)) = text.split_once("explicit deny") {
        let rest = rest.trim_start();
        let named = rest.strip_prefix("in ").and_then(|rest| rest.split_once(' ')).map(|(_article, kind)| kind);
        // The ARN has its case in the message only, which has the same length.
        let arn = text.len() - rest.len();
        let arn = message.get(arn..).and_then(|rest| rest.split_once(": arn:"));
        let arn = arn.and_then(|(_, rest)| rest.split_whitespace().next());
        let policy = arn.map(|rest| format!("arn:{}", rest.trim_end_matches(['.', ','])));
        return (DenialReason::ExplicitDeny(named.map_or(PolicyKind::Other, policy_kind)), policy);
    }
    match text.split_once("because no ").map(|(_, kind)| kind) {
        Some(kind) if kind.contains(" allows") => (DenialReason::NotAllowed(policy_kind(kind)), None),
        _ => (DenialReason::Unstated, None),
    }
}

/// The kind of policy at the start of a text in lower case.
fn policy_kind(text: &str) -> PolicyKind {
    const KINDS: [(&str, PolicyKind); 8] = [
        ("identity-based policy", PolicyKind::Identity),
        ("resource-based policy", PolicyKind::Resource),
        ("role trust policy", PolicyKind::Resource),
        ("service control policy", PolicyKind::ServiceControl),
        ("resource control policy", PolicyKind::ResourceControl),
        ("permissions boundary", PolicyKind::PermissionsBoundary),
        ("session policy", PolicyKind::Session),
        ("vpc endpoint policy", PolicyKind::VpcEndpoint),
    ];
    KINDS.iter().find(|(name, _)| text.starts_with(name)).map_or(PolicyKind::Other, |(_, kind)| *kind)
}

/// Whether AWS refused an MFA code: wrong, expired or used. STS, code `AccessDenied`; aws-sdk-sts 1.124.0.
/// Decides whether the error is about the code, so that the user can give another one.
pub(crate) fn is_mfa_code_refused(message: &str) -> bool {
    message.contains("MultiFactorAuthentication failed")
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
        assert!(is_mfa_code_refused("MultiFactorAuthentication failed with invalid MFA one time pass code."));
    }

    const CALLER: &str = "arn:aws:iam::111122223333:user/dev";
    const ROLE: &str = "arn:aws:iam::444455556666:role/team/deployers";

    #[test]
    fn denial_has_caller_action_and_resource() {
        let found = denial(&format!("User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"));
        assert_eq!(
            found,
            Denial {
                caller: Some(CALLER.to_owned()),
                action: Some("sts:AssumeRole".to_owned()),
                resource: Some(ROLE.to_owned()),
                reason: DenialReason::Unstated,
                policy: None,
            }
        );
        assert_eq!(
            denial("Not authorized to perform sts:AssumeRoleWithWebIdentity").action.as_deref(),
            Some("sts:AssumeRoleWithWebIdentity")
        );
        for other in ["", "no", "User: ", "because no policy", "MultiFactorAuthentication", "on resource: "] {
            let found = denial(other);
            assert_eq!((found.caller, found.reason), (None, DenialReason::Unstated), "{other}");
        }
    }

    #[test]
    fn denial_reason_for_each_wording_of_aws() {
        use PolicyKind::{
            Identity, Other, PermissionsBoundary, Resource, ResourceControl, ServiceControl, Session, VpcEndpoint,
        };
        let start = format!("User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}");
        let allows = "allows the sts:AssumeRole action";
        for (name, kind) in [
            ("identity-based policy", Identity),
            ("resource-based policy", Resource),
            ("role trust policy", Resource),
            ("service control policy", ServiceControl),
            ("resource control policy", ResourceControl),
            ("permissions boundary", PermissionsBoundary),
            ("session policy", Session),
            ("VPC endpoint policy", VpcEndpoint),
            ("declarative policy", Other),
        ] {
            let found = denial(&format!("{start} because no {name} {allows}"));
            assert_eq!(found.reason, DenialReason::NotAllowed(kind), "{name}");
            assert_eq!(found.resource.as_deref(), Some(ROLE));
            for article in ["a", "an", "the"] {
                let found = denial(&format!("{start} with an explicit deny in {article} {name}"));
                assert_eq!((found.reason, found.policy), (DenialReason::ExplicitDeny(kind), None), "{name}");
            }
            let arn = "arn:aws:organizations::111122223333:policy/o-Example/service_control_policy/p-Example";
            let found = denial(&format!("{start} with an explicit deny in a {name}: {arn}"));
            assert_eq!((found.reason, found.policy.as_deref()), (DenialReason::ExplicitDeny(kind), Some(arn)));
        }
        // The trust policy's own wordings leave out the resource.
        let bare = format!("User: {CALLER} is not authorized to perform: sts:AssumeRole");
        let found = denial(&format!("{bare} because no role trust policy {allows}"));
        assert_eq!(
            (found.action.as_deref(), found.resource, found.reason),
            (Some("sts:AssumeRole"), None, DenialReason::NotAllowed(Resource))
        );
        assert_eq!(denial(&format!("{bare} with an explicit deny")).reason, DenialReason::ExplicitDeny(Other));
        assert_eq!(
            denial("due to an explicit deny in a Service Control Policy").reason,
            DenialReason::ExplicitDeny(ServiceControl)
        );
    }

    #[test]
    fn denial_reason_of_mfa_and_root_user() {
        for (message, reason) in [
            (
                "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.",
                DenialReason::Mfa(MfaDenial::Incomplete),
            ),
            (
                "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
                DenialReason::Mfa(MfaDenial::Code),
            ),
            (
                "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid \
                 and associated with this user.",
                DenialReason::Mfa(MfaDenial::Device),
            ),
            ("Roles may not be assumed by root accounts.", DenialReason::RootUser),
        ] {
            assert_eq!(denial(message).reason, reason, "{message}");
        }
    }
}
