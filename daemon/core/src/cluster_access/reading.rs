//! What was read about a cluster's access: authentication mode, access entries and aws-auth.

use std::collections::BTreeSet;

use rolecall_protocol::{AccessFinding, AccessPolicyScope, AccessRow, AuthenticationMode};

use super::aws_auth::Data;

/// An access entry of EKS with its policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessEntry {
    /// The ARN of the principal, with its path.
    pub principal: String,
    /// The type, such as `STANDARD` or `EC2_LINUX`.
    pub entry_type: String,
    /// The name of the user in Kubernetes. `None` in a new entry lets EKS choose it.
    pub username: Option<String>,
    /// The groups of the user in Kubernetes.
    pub groups: Vec<String>,
    /// The policies, by name.
    pub policies: Vec<AccessPolicyScope>,
}

/// The ConfigMap aws-auth as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AwsAuthState {
    /// It was not read, or could not be read.
    #[default]
    Unread,
    /// The cluster has no ConfigMap of this name.
    Absent,
    /// The field `data`.
    Present(Data),
}

/// What was read about a cluster's access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The name of the cluster.
    pub cluster: String,
    /// The partition of the cluster.
    pub partition: String,
    /// The account of the cluster.
    pub account: String,
    /// The authentication mode. `None` if it could not be read.
    pub mode: Option<AuthenticationMode>,
    /// The access entries. `None` if they could not be read.
    pub entries: Option<Vec<AccessEntry>>,
    /// The ConfigMap aws-auth.
    pub aws_auth: AwsAuthState,
    /// The ARNs of principals that IAM does not know.
    pub missing: BTreeSet<String>,
}

/// Why a principal can or cannot enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every line that names the principal or its account; the one that applies has `applies`.
    pub rows: Vec<AccessRow>,
    /// Whether the principal can enter. `None` if what was read does not say it.
    pub can_enter: Option<bool>,
    /// Why, in the order in which the cluster decides.
    pub reasons: Vec<AccessFinding>,
}
