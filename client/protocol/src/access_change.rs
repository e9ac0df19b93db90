//! Changes of who may enter a cluster: requests, plans, progress and reports.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::access::{AccessFinding, AccessRow, AuthenticationMode, GivenPrincipal};
use crate::cluster::AccessQuery;
use crate::error::ErrorBody;

/// How a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessVia {
    /// By access entries.
    AccessEntries,
    /// By aws-auth.
    AwsAuth,
}

/// What every request for a change carries. The client sends it first without `apply` and gets the plan, then with the
/// id of the plan that the user confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeOptions {
    /// The API server, which the profile's pin has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<AccessQuery>,
    /// The id of the plan to apply. Without it nothing is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<String>,
    /// Whether to make a change that removes the caller's last way in or the last administrator. It has to name that
    /// principal itself.
    #[serde(default)]
    pub force: bool,
}

/// The body of [`Endpoint::AccessGrant`](crate::Endpoint::AccessGrant).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessGrantRequest {
    /// Plan or apply.
    #[serde(flatten)]
    pub change: ChangeOptions,
    /// How. Without it the authentication mode decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<AccessVia>,
    /// Who gets access.
    pub principals: Vec<GivenPrincipal>,
    /// The names or ARNs of access policies.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The namespaces of the policies. Empty for the whole cluster.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// The groups of the user in Kubernetes.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The name of the user in Kubernetes. Without it that of EKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// The body of [`Endpoint::AccessRevoke`](crate::Endpoint::AccessRevoke).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRevokeRequest {
    /// Plan or apply.
    #[serde(flatten)]
    pub change: ChangeOptions,
    /// Where. Without it the principal is removed from every source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<AccessVia>,
    /// Who loses access.
    pub principals: Vec<GivenPrincipal>,
    /// The policies to take away. Empty for the whole access.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// The body of [`Endpoint::AccessRestore`](crate::Endpoint::AccessRestore).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRestoreRequest {
    /// Plan or apply.
    #[serde(flatten)]
    pub change: ChangeOptions,
    /// The name of the backup. Without it the newest one of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// The body of [`Endpoint::AccessMigrate`](crate::Endpoint::AccessMigrate).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessMigrateRequest {
    /// Plan or apply.
    #[serde(flatten)]
    pub change: ChangeOptions,
    /// The authentication mode that the cluster gets afterwards. Without it the mode stays, if it allows access entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthenticationMode>,
}

/// The body of [`Endpoint::AccessRecover`](crate::Endpoint::AccessRecover).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecoverRequest {
    /// Plan or apply.
    #[serde(flatten)]
    pub change: ChangeOptions,
    /// Whether to restore the newest valid backup of aws-auth, or to write the node roles into a new one, afterwards.
    #[serde(default)]
    pub repair_aws_auth: bool,
}

/// A line of the response to a request for a change. `plan`, `report` and `failed` end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessStep {
    /// Last step of a request without `apply`.
    Plan(AccessPlan),
    /// The state of the change.
    Progress {
        /// The number of changes that ended.
        done: usize,
        /// The number of all changes.
        total: usize,
        /// What the daemon does: `waiting for the authentication mode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activity: Option<String>,
    },
    /// Last step: what was changed, and what was not.
    Report(AccessReport),
    /// Last step: nothing was changed.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// A step that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a change would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPlan {
    /// The id, which depends on the plan and on what was read.
    pub id: String,
    /// The name of the cluster.
    pub cluster: String,
    /// The changes, in order. Empty if there is nothing to change.
    pub changes: Vec<AccessChange>,
    /// The difference of aws-auth as a unified diff, if the plan changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What the user has to know: changes that cannot be undone, what a check could not find out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<AccessFinding>,
}

impl AccessPlan {
    /// Returns the number of changes that applying the plan makes.
    pub fn effective(&self) -> usize {
        self.changes.iter().filter(|change| change.action.is_change()).count()
    }
}

/// What happens to one principal or to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessChange {
    /// The ARN, or what the user gave if it is no valid principal. The name of the cluster for [`AccessAction::SetMode`].
    pub target: String,
    /// What happens.
    pub action: AccessAction,
    /// The state before. Absent for something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<AccessRow>,
    /// The state afterwards. Absent for something that is removed or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AccessRow>,
    /// Why the change is refused, or what is notable about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<AccessFinding>,
}

/// What happens to the target of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessAction {
    /// It gets access.
    Create,
    /// Its access changes.
    Update,
    /// It loses access.
    Delete,
    /// It has what was asked for.
    Keep,
    /// It stays as it is, because the request is not valid for it.
    Refuse,
    /// The cluster gets another authentication mode.
    SetMode,
    /// The ConfigMap aws-auth is written.
    WriteAwsAuth,
    /// An action that this version does not know.
    #[serde(other)]
    Unknown,
}

impl AccessAction {
    /// Whether the action changes something.
    pub const fn is_change(self) -> bool {
        !matches!(self, Self::Keep | Self::Refuse)
    }
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessReport {
    /// The result for each target, in the order of the plan.
    pub results: Vec<AccessResult>,
    /// The backup of the former aws-auth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<PathBuf>,
    /// Why aws-auth was set back to its former text, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<ErrorBody>,
    /// What the user has to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<AccessFinding>,
}

/// What happened to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessResult {
    /// The target of the change.
    pub target: String,
    /// What happened, or was to happen.
    pub action: AccessAction,
    /// Why it did not happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}
