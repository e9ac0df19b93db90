//! Plans of changes to a cluster's access. A plan is a pure function of what was read and of the request.

use rolecall_protocol::{AccessChange, AccessFinding, AccessPolicyScope, AuthenticationMode};

use super::aws_auth::Data;
use super::principal::Principal;
use super::reading::AccessEntry;

/// What a plan needs to know besides the [`Reading`](super::reading::Reading) and the request.
#[derive(Debug, Clone)]
pub struct PlanContext {
    /// The role or user of the profile's session. For a role with its path if IAM says it.
    pub caller: Principal,
    /// The names of the access policies of the region. Empty if they could not be read.
    pub policies: Vec<String>,
}

/// A plan of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The authentication mode to set first.
    pub mode_before: Option<AuthenticationMode>,
    /// The changes, in order.
    pub changes: Vec<PlannedChange>,
    /// The field `data` to write to aws-auth, if the plan changes it.
    pub aws_auth: Option<Data>,
    /// The difference of aws-auth as a unified diff.
    pub diff: Option<String>,
    /// The authentication mode to set last.
    pub mode_after: Option<AuthenticationMode>,
    /// What the user has to know.
    pub notes: Vec<AccessFinding>,
}

/// A change and the calls of EKS that make it. A change of aws-auth has no calls: [`Plan::aws_auth`] makes all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// The change, for the user.
    pub change: AccessChange,
    /// The calls, in order.
    pub calls: Vec<EntryCall>,
}

/// A call of EKS about one access entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryCall {
    /// CreateAccessEntry. The policies are associated by calls of their own.
    Create(AccessEntry),
    /// UpdateAccessEntry.
    Update {
        /// The ARN of the principal.
        principal: String,
        /// The new name of the user, if it changes.
        username: Option<String>,
        /// The new groups, if they change.
        groups: Option<Vec<String>>,
    },
    /// DeleteAccessEntry.
    Delete {
        /// The ARN of the principal.
        principal: String,
    },
    /// AssociateAccessPolicy, which replaces the scope of a policy that the entry has.
    Associate {
        /// The ARN of the principal.
        principal: String,
        /// The policy, by name, and its scope.
        policy: AccessPolicyScope,
    },
    /// DisassociateAccessPolicy.
    Disassociate {
        /// The ARN of the principal.
        principal: String,
        /// The name of the policy.
        policy: String,
    },
}

/// Why there is no plan. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The change removes the last way in of the caller.
    #[error("the change removes your own last way into the cluster ({principal})")]
    OwnLastWayIn {
        /// The caller.
        principal: String,
    },
    /// The change removes the last administrator that is visible.
    #[error("the change removes the last administrator of the cluster ({principal})")]
    LastAdministrator {
        /// The administrator.
        principal: String,
    },
    /// The request needs access entries, which the authentication mode does not allow.
    #[error("the cluster uses aws-auth alone (authentication mode CONFIG_MAP), so it has no access entries")]
    NeedsAccessEntries,
    /// The request needs aws-auth, which the authentication mode ignores.
    #[error("the cluster ignores aws-auth (authentication mode API)")]
    IgnoresAwsAuth,
    /// A source that the plan depends on could not be read.
    #[error("{source_name} could not be read")]
    Unread {
        /// `the authentication mode`, `access entries` or `aws-auth`.
        source_name: &'static str,
    },
    /// aws-auth cannot be edited as it is.
    #[error("aws-auth cannot be changed: {reason}")]
    AwsAuth {
        /// Why.
        reason: String,
    },
    /// The request itself is not valid.
    #[error("{reason}")]
    InvalidRequest {
        /// Why.
        reason: String,
    },
}
