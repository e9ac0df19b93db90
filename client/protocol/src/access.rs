//! The requests and responses about who may enter a cluster: access entries of EKS, and the ConfigMap aws-auth.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::messages::AccessQuery;

/// Where a cluster takes its users from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum AuthenticationMode {
    /// Only from aws-auth.
    ConfigMap,
    /// From access entries, and for principals without one from aws-auth.
    ApiAndConfigMap,
    /// Only from access entries.
    Api,
    /// A mode that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Where a line about a principal comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessSource {
    /// An access entry of EKS.
    AccessEntry,
    /// The ConfigMap kube-system/aws-auth.
    AwsAuth,
    /// A source that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a line of access names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// An IAM role.
    Role,
    /// An IAM user.
    User,
    /// Every IAM user and role of an account (`mapAccounts`).
    Account,
    /// The roles of a permission set of IAM Identity Center (`sso` in `mapRoles`).
    PermissionSet,
    /// Something that no IAM user or role matches, such as the ARN of a session.
    Other,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A policy of an access entry, and where it applies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccessPolicyScope {
    /// The name of the policy, such as `AmazonEKSViewPolicy`.
    pub policy: String,
    /// The namespaces, which may hold `*`. Empty for the whole cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

/// What lets one principal enter a cluster: an access entry, or a mapping of aws-auth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRow {
    /// The ARN, account or permission set as the source spells it.
    pub principal: String,
    /// What the principal is.
    pub kind: PrincipalKind,
    /// Where the line comes from.
    pub source: AccessSource,
    /// The type of an access entry, such as `STANDARD` or `EC2_LINUX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_type: Option<String>,
    /// The name of the user in Kubernetes, which may hold placeholders such as `{{SessionName}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The groups of the user in Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The policies of an access entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<AccessPolicyScope>,
    /// Whether the cluster uses this line: its source applies under the authentication mode, no other line overrides it,
    /// and a principal can match it.
    pub applies: bool,
    /// What is wrong with the line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<AccessFinding>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Works, but probably not as meant.
    Warning,
    /// Does not work.
    Error,
    /// A severity that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something wrong or notable in a cluster's access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessFinding {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of finding, such as `path_in_arn`.
    pub code: String,
    /// What is wrong, for the user.
    pub message: String,
    /// What to change, for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The key of aws-auth (`mapRoles`), if the finding is about one of its texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The line in that text, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// A part of the cluster's access that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What: `access entries`, `aws-auth`, `IAM`, `role bindings`.
    pub what: String,
    /// Why.
    pub error: ErrorBody,
}

/// The body of [`Endpoint::AccessList`](crate::Endpoint::AccessList).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessListRequest {
    /// The API server, which the profile's pin has to match. Without it aws-auth is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<AccessQuery>,
}

/// The response of [`Endpoint::AccessList`](crate::Endpoint::AccessList): every principal that a cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    /// The name of the cluster.
    pub cluster: String,
    /// The authentication mode. Absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthenticationMode>,
    /// The principals: those of access entries first, then those of aws-auth in its order.
    pub rows: Vec<AccessRow>,
    /// What is wrong with the whole: a text of aws-auth that is not YAML, a creator whose access is not visible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<AccessFinding>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// The body of [`Endpoint::AccessExplain`](crate::Endpoint::AccessExplain).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessExplainRequest {
    /// The API server, which the profile's pin has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<AccessQuery>,
    /// The principal. Without it the profile's own role is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<GivenPrincipal>,
    /// The namespace of the questions to RBAC. Empty for `default`.
    #[serde(default)]
    pub namespace: String,
}

/// A principal as the user gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GivenPrincipal {
    /// `Role`, `User`, or `Unknown` where the ARN has to say it.
    pub kind: PrincipalKind,
    /// An ARN, or the name of a role or user of the profile's account.
    pub name: String,
}

/// The response of [`Endpoint::AccessExplain`](crate::Endpoint::AccessExplain).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessExplained {
    /// The ARN of the principal.
    pub principal: String,
    /// The authentication mode. Absent if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AuthenticationMode>,
    /// Every line that names the principal or its account; the one that applies has `applies`.
    pub rows: Vec<AccessRow>,
    /// Whether the principal can enter. Absent if what could be read does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_enter: Option<bool>,
    /// Why, in the order in which the cluster decides.
    pub reasons: Vec<AccessFinding>,
    /// The role bindings that name its user or groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<AccessBinding>,
    /// What RBAC answers for common requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AccessAnswer>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessBinding {
    /// The name of the binding.
    pub name: String,
    /// Its namespace. Absent for a ClusterRoleBinding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The role that it grants, such as `ClusterRole/view`.
    pub role: String,
    /// The user or group that it names, such as `Group/dev`.
    pub subject: String,
}

/// The answer of RBAC (and of the access policies) to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessAnswer {
    /// The verb, such as `list`.
    pub verb: String,
    /// The resource, such as `pods` or `pods/log`.
    pub resource: String,
    /// The namespace. Absent for all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether it is allowed. Absent if the cluster did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
}

/// The response of [`Endpoint::AccessPolicies`](crate::Endpoint::AccessPolicies).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicies {
    /// The policies of the region, by name.
    pub policies: Vec<AccessPolicy>,
}

/// An access policy of EKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it allows, in a sentence. Absent for a policy that this version does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allows: Option<String>,
}

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

/// The body of [`Endpoint::AccessLint`](crate::Endpoint::AccessLint): an aws-auth as YAML or JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLintRequest {
    /// The text of the file.
    pub text: String,
}

/// The response of [`Endpoint::AccessLint`](crate::Endpoint::AccessLint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLinted {
    /// The mappings that the authenticator reads from it.
    pub rows: Vec<AccessRow>,
    /// What is wrong with the whole.
    pub findings: Vec<AccessFinding>,
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
