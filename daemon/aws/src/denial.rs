//! What AWS says about a denied call: who may not do what, and which policy denies it.
//!
//! AWS names the policy in its message only, and only to callers of the same account or organization. The message decides
//! nothing but what is shown.

use std::fmt;

/// A denied call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denial {
    /// The ARN of the caller.
    pub caller: Option<String>,
    /// The denied action, such as `sts:AssumeRole`.
    pub action: Option<String>,
    /// The ARN of the resource.
    pub resource: Option<String>,
    /// Why.
    pub reason: DenialReason,
    /// The ARN of the policy with the Deny statement. Newer messages have it.
    pub policy: Option<String>,
}

/// Why AWS denied a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DenialReason {
    /// No policy of this kind allows the action.
    NotAllowed(PolicyKind),
    /// A Deny statement in a policy of this kind applies.
    ExplicitDeny(PolicyKind),
    /// The MFA code, or the device, is not accepted.
    Mfa(MfaDenial),
    /// The root user of an account cannot assume a role.
    RootUser,
    /// AWS does not say, or says it in words that this version does not know.
    #[default]
    Unstated,
}

/// A kind of policy that can deny a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// A policy of the user, of its groups or of the role.
    Identity,
    /// A policy of the resource. For AssumeRole, the trust policy of the role.
    Resource,
    /// A service control policy of the organization.
    ServiceControl,
    /// A resource control policy of the organization.
    ResourceControl,
    /// The permissions boundary of the user or role.
    PermissionsBoundary,
    /// The policy that restricts the caller's session.
    Session,
    /// The policy of the VPC endpoint that the call goes through.
    VpcEndpoint,
    /// Another kind, or one that the message does not name.
    Other,
}

/// Why AWS denied a call with MFA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MfaDenial {
    /// The code is wrong, expired or used.
    Code,
    /// The device does not belong to the user.
    Device,
    /// The call has a device without a code, or a code without a device.
    Incomplete,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity policy",
            Self::Resource => "trust policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::PermissionsBoundary => "permissions boundary",
            Self::Session => "session policy",
            Self::VpcEndpoint => "VPC endpoint policy",
            Self::Other => "policy",
        })
    }
}
