//! What has to change after AWS denied a call to STS.

use crate::denial::{Denial, DenialReason, MfaDenial, PolicyKind};

use super::StsOperation;

/// The hint for a denied call.
pub(super) fn hint(denial: &Denial, operation: &StsOperation) -> String {
    let action = denial.action.as_deref().unwrap_or("sts:AssumeRole");
    let caller = denial.caller.as_deref().unwrap_or("your user or role");
    let role = match operation {
        StsOperation::AssumeRole(role) => role.as_str(),
        StsOperation::GetSessionToken(_) | StsOperation::GetCallerIdentity => "the role",
    };
    let policy = denial.policy.as_ref().map(|arn| format!(" {arn}")).unwrap_or_default();
    match denial.reason {
        DenialReason::Mfa(MfaDenial::Code) => "Enter the next code that the device shows.".to_owned(),
        DenialReason::Mfa(MfaDenial::Device) => {
            "Set mfa_serial to a device of the user whose access key signs the call.".to_owned()
        }
        DenialReason::Mfa(MfaDenial::Incomplete) => "Set mfa_serial, and run: rolecall login SOURCE".to_owned(),
        DenialReason::RootUser => "Use a source that is an IAM user or a role.".to_owned(),
        DenialReason::NotAllowed(PolicyKind::Identity) => {
            format!("Allow {action} on {role} in an identity policy of {caller}.")
        }
        DenialReason::NotAllowed(PolicyKind::Resource) => {
            format!("Allow {action} to {caller} in the trust policy of {role}.")
        }
        DenialReason::NotAllowed(kind) => {
            format!("Ask {} to allow {action} in the {kind}.", owner_of(kind, caller))
        }
        DenialReason::ExplicitDeny(kind) => format!(
            "Ask {} to change the Deny statement in the {kind}{policy}: it denies {action}.",
            owner_of(kind, caller)
        ),
        DenialReason::Unstated => unstated(action).to_owned(),
    }
}

/// Who can change a policy of this kind.
fn owner_of(kind: PolicyKind, caller: &str) -> String {
    match kind {
        PolicyKind::Identity | PolicyKind::PermissionsBoundary => format!("an administrator of {caller}"),
        PolicyKind::Resource => "an administrator of the role".to_owned(),
        PolicyKind::ServiceControl | PolicyKind::ResourceControl => {
            "an administrator of the AWS organization".to_owned()
        }
        PolicyKind::Session => format!("an administrator of what makes the session of {caller}"),
        PolicyKind::VpcEndpoint => "an administrator of the VPC endpoint of STS".to_owned(),
        PolicyKind::Other => "an administrator".to_owned(),
    }
}

/// The hint if AWS does not name the policy. Session tags and source identities need a permission of their own.
fn unstated(action: &str) -> &'static str {
    match action {
        "sts:TagSession" => {
            "Allow sts:TagSession in the role's trust policy and in your own permissions. On a role chain, each role that transitive tags reach needs it, too."
        }
        "sts:SetSourceIdentity" => {
            "Allow sts:SetSourceIdentity in the trust policy of every role of the chain and in your own permissions."
        }
        _ => "Check the role's trust policy and your own permissions: both must allow it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_names_policy_and_who_changes_it() {
        let role = "arn:aws:iam::444455556666:role/deployers";
        let operation = StsOperation::AssumeRole(role.parse().unwrap());
        let caller = "arn:aws:iam::111122223333:user/dev";
        let of = |reason, policy: Option<&str>| {
            let (caller, action) = (Some(caller.to_owned()), Some("sts:AssumeRole".to_owned()));
            let denial = Denial { caller, action, resource: None, reason, policy: policy.map(str::to_owned) };
            hint(&denial, &operation)
        };
        assert_eq!(
            of(DenialReason::NotAllowed(PolicyKind::Identity), None),
            format!("Allow sts:AssumeRole on {role} in an identity policy of {caller}.")
        );
        assert_eq!(
            of(DenialReason::NotAllowed(PolicyKind::Resource), None),
            format!("Allow sts:AssumeRole to {caller} in the trust policy of {role}.")
        );
        assert_eq!(
            of(DenialReason::ExplicitDeny(PolicyKind::ServiceControl), Some("arn:x")),
            "Ask an administrator of the AWS organization to change the Deny statement in the service control policy arn:x: \
             it denies sts:AssumeRole."
        );
        assert_eq!(
            of(DenialReason::NotAllowed(PolicyKind::PermissionsBoundary), None),
            format!("Ask an administrator of {caller} to allow sts:AssumeRole in the permissions boundary.")
        );
        assert!(of(DenialReason::Mfa(MfaDenial::Device), None).contains("mfa_serial"));
        assert!(of(DenialReason::Unstated, None).contains("trust policy"));
    }
}
