//! Plans of changes to a cluster's access. A plan is a pure function of what was read and of the request.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use diffy::DiffOptions;
use rolecall_protocol::{
    AccessAction, AccessChange, AccessFinding, AccessPlan, AccessPolicyScope, AccessRow, AccessSource,
    AuthenticationMode, Severity,
};
use sha2::{Digest, Sha256};

use super::aws_auth::{AwsAuth, Data, MapKey};
use super::principal::Principal;
use super::reading::{AccessEntry, AwsAuthState, Reading, finding};

mod entries;
mod grant;
mod mappings;
mod migrate;
mod recover;
mod request;
mod revoke;

pub use grant::grant;
pub use migrate::migrate;
pub use recover::{recover, repaired_aws_auth};
pub use request::given_principal;
pub use revoke::revoke;

/// The policy that makes an administrator.
pub const ADMIN_POLICY: &str = "AmazonEKSClusterAdminPolicy";

/// What a plan needs to know besides the [`Reading`] and the request.
#[derive(Debug, Clone)]
pub struct PlanContext {
    /// The role or user of the profile's session. For a role with its path if IAM says it.
    pub caller: Principal,
    /// The names of the access policies of the region. Empty if they could not be read.
    pub policies: Vec<String>,
    /// What IAM answers about a principal, by its ARN without a path: its ARN with the path, or `None` if it does not
    /// exist. Principals that IAM was not asked about are absent.
    pub iam: BTreeMap<String, Option<Principal>>,
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
    /// The source that changes.
    pub source: AccessSource,
    /// The calls, in order.
    pub calls: Vec<EntryCall>,
}

impl PlannedChange {
    fn new(target: String, source: AccessSource, action: AccessAction) -> Self {
        let change = AccessChange { target, action, before: None, after: None, findings: Vec::new() };
        Self { change, source, calls: Vec::new() }
    }

    /// A change that is refused, with the reason.
    fn refused(target: String, source: AccessSource, reason: AccessFinding) -> Self {
        Self::new(target, source, AccessAction::Refuse).with(reason)
    }

    fn with(mut self, finding: AccessFinding) -> Self {
        self.change.findings.push(finding);
        self
    }
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

impl Plan {
    /// Returns the plan as the client shows it.
    #[must_use]
    pub fn to_wire(&self, reading: &Reading) -> AccessPlan {
        let set_mode = |mode: &Option<AuthenticationMode>| {
            mode.map(|mode| {
                let change =
                    PlannedChange::new(reading.cluster.clone(), AccessSource::AccessEntry, AccessAction::SetMode);
                let message = format!("the authentication mode becomes {}; EKS has no way back", mode_name(mode));
                change.with(finding(Severity::Warning, "mode_one_way", message)).change
            })
        };
        let write = self.aws_auth.is_some().then(|| {
            PlannedChange::new("kube-system/aws-auth".to_owned(), AccessSource::AwsAuth, AccessAction::WriteAwsAuth)
                .change
        });
        let changes = set_mode(&self.mode_before).into_iter();
        let changes = changes.chain(self.changes.iter().map(|planned| planned.change.clone()));
        let changes = changes.chain(write).chain(set_mode(&self.mode_after)).collect();
        AccessPlan {
            id: self.id(reading),
            cluster: reading.cluster.clone(),
            changes,
            diff: self.diff.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Returns the id: a hash of the plan and of what was read.
    #[must_use]
    pub fn id(&self, reading: &Reading) -> String {
        let digest = Sha256::digest(format!("{reading:?}\n{self:?}"));
        hex::encode(&digest[..16])
    }

    /// Returns what would be read after the plan.
    #[must_use]
    pub fn applied_to(&self, reading: &Reading) -> Reading {
        let mut after = reading.clone();
        after.mode = self.mode_after.or(self.mode_before).or(after.mode);
        if self.mode_before.is_some() && after.entries.is_none() {
            after.entries = Some(Vec::new());
        }
        for call in self.changes.iter().flat_map(|planned| &planned.calls) {
            call.apply_to(after.entries.get_or_insert_default());
        }
        if let Some(data) = &self.aws_auth {
            after.aws_auth = AwsAuthState::Present(data.clone());
        }
        after
    }

    /// Completes a plan: rows before and after, the difference of aws-auth, and the rules against a lock-out.
    fn finish(mut self, reading: &Reading, context: &PlanContext, force: bool) -> Result<Self, PlanError> {
        let after = self.applied_to(reading);
        check_lock_out(reading, &after, context, force)?;
        let (rows_before, rows_after) = (rows_by_target(reading), rows_by_target(&after));
        for planned in &mut self.changes {
            let key = (planned.source, planned.change.target.clone());
            planned.change.before = rows_before.get(&key).cloned();
            if planned.change.action.is_change() {
                planned.change.after = rows_after.get(&key).cloned();
            }
        }
        if let (Some(new), Some(old)) = (&self.aws_auth, reading.aws_auth_data()) {
            self.diff = Some(diff(&old, new)).filter(|diff| !diff.is_empty());
        }
        Ok(self)
    }
}

impl EntryCall {
    fn apply_to(&self, entries: &mut Vec<AccessEntry>) {
        match self {
            Self::Create(entry) => entries.push(AccessEntry { policies: Vec::new(), ..entry.clone() }),
            Self::Delete { principal } => entries.retain(|entry| entry.principal != *principal),
            Self::Update { principal, username, groups } => {
                for entry in entries.iter_mut().filter(|entry| entry.principal == *principal) {
                    entry.username = username.clone().or(entry.username.take());
                    if let Some(groups) = groups {
                        entry.groups.clone_from(groups);
                    }
                }
            }
            Self::Associate { principal, policy } => {
                for entry in entries.iter_mut().filter(|entry| entry.principal == *principal) {
                    entry.policies.retain(|other| other.policy != policy.policy);
                    entry.policies.push(policy.clone());
                }
            }
            Self::Disassociate { principal, policy } => {
                for entry in entries.iter_mut().filter(|entry| entry.principal == *principal) {
                    entry.policies.retain(|other| other.policy != *policy);
                }
            }
        }
    }
}

/// Errors if the caller or the last visible administrator loses access, unless `force` is set.
pub fn check_lock_out(before: &Reading, after: &Reading, context: &PlanContext, force: bool) -> Result<(), PlanError> {
    if force {
        return Ok(());
    }
    let enters = |reading: &Reading| reading.explain(&context.caller).can_enter == Some(true);
    if enters(before) && !enters(after) {
        return Err(PlanError::OwnLastWayIn { principal: context.caller.to_string() });
    }
    let administrators = administrators(before);
    match administrators.first() {
        Some(principal) if self::administrators(after).is_empty() => {
            Err(PlanError::LastAdministrator { principal: principal.clone() })
        }
        _ => Ok(()),
    }
}

/// Returns the principals that are administrators of the whole cluster and can enter.
#[must_use]
pub fn administrators(reading: &Reading) -> Vec<String> {
    let is_admin = |row: &AccessRow| {
        row.groups.iter().any(|group| group == "system:masters")
            || row.policies.iter().any(|policy| policy.policy == ADMIN_POLICY && policy.namespaces.is_empty())
    };
    reading.rows().into_iter().filter(|row| row.applies && is_admin(row)).map(|row| row.principal).collect()
}

/// Returns the difference of two versions of aws-auth as a unified diff, with one part for each key.
#[must_use]
pub fn diff(old: &Data, new: &Data) -> String {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut parts = String::new();
    for key in keys {
        let text = |data: &Data| data.get(key).cloned().unwrap_or_default();
        let (old, new) = (text(old), text(new));
        if old != new {
            let name = format!("aws-auth {key}");
            let mut options = DiffOptions::new();
            options.set_original_filename(name.clone()).set_modified_filename(name);
            let _ = write!(parts, "{}", options.create_patch(&old, &new));
        }
    }
    parts
}

fn rows_by_target(reading: &Reading) -> HashMap<(AccessSource, String), AccessRow> {
    // Of rows of the same principal the last one applies.
    reading.rows().into_iter().map(|row| ((row.source, row.principal.clone()), row)).collect()
}

const fn mode_name(mode: AuthenticationMode) -> &'static str {
    match mode {
        AuthenticationMode::ConfigMap => "CONFIG_MAP",
        AuthenticationMode::ApiAndConfigMap => "API_AND_CONFIG_MAP",
        AuthenticationMode::Api => "API",
        _ => "unknown",
    }
}

/// Returns the data of aws-auth, which a plan has to know.
fn known_aws_auth(reading: &Reading) -> Result<Data, PlanError> {
    reading.aws_auth_data().ok_or(PlanError::Unread { source_name: "aws-auth" })
}

/// Errors if a text of aws-auth is not valid, so that a plan cannot see its mappings.
fn check_readable(data: &Data, keys: &[MapKey]) -> Result<(), PlanError> {
    use super::aws_auth::ProblemKind::{InvalidYaml, NotAList};
    let read = AwsAuth::read(data);
    let broken = read
        .problems
        .iter()
        .find(|problem| keys.contains(&problem.key) && matches!(problem.kind, InvalidYaml { .. } | NotAList));
    match broken {
        Some(problem) => {
            let what = if problem.kind == NotAList { "not a list" } else { "not valid YAML" };
            let reason = format!("{} is {what} (line {}, column {})", problem.key, problem.line, problem.column);
            Err(PlanError::AwsAuth { reason })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
