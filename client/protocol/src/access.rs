//! Who may enter a cluster: access entries of EKS, and the ConfigMap aws-auth.

use serde::{Deserialize, Serialize};

use crate::cluster::AccessQuery;
use crate::error::ErrorBody;

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
