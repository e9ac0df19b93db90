//! The policy that denies an action, in the words of AWS.
//!
//! Source: "Troubleshoot access denied error messages" in the IAM User Guide.

/// How a policy denies an action. AWS tells it to callers of the same account or organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedBy {
    /// No policy of that type allows the action.
    NotAllowed(PolicyType),
    /// A policy of that type has a Deny statement that applies.
    ExplicitDeny(PolicyType),
    /// The same, and AWS adds the ARN of that policy.
    ExplicitDenyIn(PolicyType, &'static str),
}

/// A type of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    /// A policy of a user, group or role.
    Identity,
    /// A service control policy of the organization.
    ServiceControl,
    /// A resource control policy of the organization.
    ResourceControl,
    /// A permissions boundary.
    PermissionsBoundary,
    /// The policy of the caller's session.
    Session,
    /// The policy of a VPC endpoint.
    VpcEndpoint,
}

impl DeniedBy {
    /// Returns the end of the message, with a space before it.
    pub(crate) fn text(self, action: &str) -> String {
        match self {
            Self::NotAllowed(policy) => format!(" because no {} allows the {action} action", policy.name()),
            Self::ExplicitDeny(policy) => {
                let article = if policy == PolicyType::Identity { "an" } else { "a" };
                format!(" with an explicit deny in {article} {}", policy.name())
            }
            Self::ExplicitDenyIn(policy, arn) => format!("{}: {arn}", Self::ExplicitDeny(policy).text(action)),
        }
    }
}

impl PolicyType {
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::PermissionsBoundary => "permissions boundary",
            Self::Session => "session policy",
            Self::VpcEndpoint => "VPC endpoint policy",
        }
    }
}
