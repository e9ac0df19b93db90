//! What was read about a cluster's access: authentication mode, access entries and aws-auth.

use std::collections::{BTreeSet, HashMap, HashSet};

use rolecall_protocol::{
    AccessFinding, AccessPolicyScope, AccessRow, AccessSource, AuthenticationMode, PrincipalKind, Severity,
};

use super::aws_auth::{AwsAuth, Data, MapKey, MappedAccount, Mapping, Subject, lint};
use super::principal::Principal;

mod explain;

pub use explain::Explanation;

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

impl Reading {
    /// Returns whether the cluster uses access entries. `None` if the authentication mode is not known.
    #[must_use]
    pub fn uses_entries(&self) -> Option<bool> {
        match self.mode? {
            AuthenticationMode::Api | AuthenticationMode::ApiAndConfigMap => Some(true),
            AuthenticationMode::ConfigMap => Some(false),
            _ => None,
        }
    }

    /// Returns whether the cluster uses aws-auth. `None` if the authentication mode is not known.
    #[must_use]
    pub fn uses_aws_auth(&self) -> Option<bool> {
        match self.mode? {
            AuthenticationMode::ConfigMap | AuthenticationMode::ApiAndConfigMap => Some(true),
            AuthenticationMode::Api => Some(false),
            _ => None,
        }
    }

    /// Returns the data of aws-auth: empty if it does not exist, `None` if it was not read.
    #[must_use]
    pub fn aws_auth_data(&self) -> Option<Data> {
        match &self.aws_auth {
            AwsAuthState::Unread => None,
            AwsAuthState::Absent => Some(Data::new()),
            AwsAuthState::Present(data) => Some(data.clone()),
        }
    }

    /// Returns the access entry of a principal. EKS compares the whole ARN, with the path of a role.
    #[must_use]
    pub fn entry(&self, principal: &Principal) -> Option<&AccessEntry> {
        let arn = principal.to_string();
        self.entries.iter().flatten().find(|entry| entry.principal == arn)
    }

    /// Returns the access entry that EKS uses for a session of a principal. The path of a role may be unknown, so only
    /// account and name are compared.
    #[must_use]
    pub fn entry_in_use(&self, principal: &Principal) -> Option<&AccessEntry> {
        let same = |entry: &&AccessEntry| {
            entry.principal.parse::<Principal>().is_ok_and(|other| other.canonical() == principal.canonical())
        };
        self.entry(principal).or_else(|| self.entries.iter().flatten().find(same))
    }

    /// Returns a row for every access entry and mapping, each with its findings.
    #[must_use]
    pub fn rows(&self) -> Vec<AccessRow> {
        let mut rows: Vec<AccessRow> = self.entries.iter().flatten().map(|entry| self.entry_row(entry)).collect();
        if let AwsAuthState::Present(data) = &self.aws_auth {
            let read = AwsAuth::read(data);
            let last = read.last_mappings();
            let mut found = by_row(lint::lint(data, Some(&self.partition)));
            let mut of_row = |key, index| found.remove(&(key, index)).unwrap_or_default();
            rows.extend(read.mappings().map(|mapping| {
                let is_replaced = last.replacing(mapping).is_some();
                self.mapping_row(mapping, is_replaced, of_row(mapping.key, mapping.index))
            }));
            let accounts = read.accounts.iter();
            rows.extend(accounts.map(|account| self.account_row(account, of_row(MapKey::Accounts, account.index))));
        }
        rows
    }

    /// Returns the findings that belong to no row: about texts of aws-auth, dropped items, and the cluster.
    #[must_use]
    pub fn findings(&self) -> Vec<AccessFinding> {
        let mut findings = Vec::new();
        if let AwsAuthState::Present(data) = &self.aws_auth {
            let read = AwsAuth::read(data);
            let accounts = read.accounts.iter().map(|account| (MapKey::Accounts, account.index));
            let rows: HashSet<_> =
                read.mappings().map(|mapping| (mapping.key, mapping.index)).chain(accounts).collect();
            let has_row = |found: &lint::Finding| found.key.zip(found.index).is_some_and(|place| rows.contains(&place));
            findings.extend(
                lint::lint(data, Some(&self.partition))
                    .into_iter()
                    .filter(|found| !has_row(found))
                    .map(|found| found.finding),
            );
        }
        findings.extend(self.cluster_findings());
        findings
    }

    fn cluster_findings(&self) -> Vec<AccessFinding> {
        let mut findings = Vec::new();
        let data = self.aws_auth_data();
        let has_nodes = data.as_ref().is_some_and(|data| AwsAuth::read(data).mappings().any(Mapping::is_of_nodes));
        if self.uses_entries() == Some(false) {
            if data.is_some() && !has_nodes {
                let message = "aws-auth has no mapping for nodes (group system:nodes), so EC2 nodes cannot join";
                findings.push(finding(Severity::Warning, "no_node_mapping", message));
            }
            let message = "the principal that created the cluster is an administrator, and no list shows it";
            findings.push(finding(Severity::Note, "invisible_creator", message));
        }
        if self.uses_aws_auth() == Some(false) && self.aws_auth_data().is_some_and(|data| !data.is_empty()) {
            let message = "the authentication mode is API, so the cluster ignores aws-auth";
            findings.push(finding(Severity::Note, "aws_auth_ignored", message));
        }
        if self.uses_aws_auth() == Some(true) && self.aws_auth == AwsAuthState::Absent {
            let message = "the cluster has no ConfigMap kube-system/aws-auth";
            findings.push(finding(Severity::Note, "no_aws_auth", message));
        }
        findings
    }

    fn entry_row(&self, entry: &AccessEntry) -> AccessRow {
        let mut findings = Vec::new();
        let kind = match entry.principal.parse::<Principal>() {
            Ok(principal) => principal.kind().into(),
            Err(_) => PrincipalKind::Other,
        };
        let exists = !self.missing.contains(&entry.principal);
        if !exists {
            let message = "IAM has no such principal; one made again under this name does not match the entry";
            findings.push(finding(Severity::Error, "principal_missing", message));
        }
        if entry.entry_type == STANDARD && entry.policies.is_empty() && entry.groups.is_empty() {
            let message =
                "the entry has neither policies nor groups, so it allows only what a binding grants to the user name";
            findings.push(finding(Severity::Note, "no_permissions", message));
        }
        AccessRow {
            principal: entry.principal.clone(),
            kind,
            source: AccessSource::AccessEntry,
            entry_type: Some(entry.entry_type.clone()),
            username: entry.username.clone(),
            groups: entry.groups.clone(),
            policies: entry.policies.clone(),
            applies: exists && self.uses_entries() != Some(false),
            findings,
        }
    }

    fn mapping_row(&self, mapping: &Mapping, is_replaced: bool, mut findings: Vec<AccessFinding>) -> AccessRow {
        let text = mapping.subject_text();
        let principal: Option<Principal> = text.parse().ok();
        let kind = match (&mapping.subject, &principal) {
            (Subject::PermissionSet { .. }, _) => PrincipalKind::PermissionSet,
            (_, Some(principal)) => principal.kind().into(),
            (_, None) => PrincipalKind::Other,
        };
        let overriding = principal
            .as_ref()
            .filter(|_| self.uses_entries() == Some(true))
            .and_then(|principal| self.entry_in_use(principal));
        if overriding.is_some() {
            let message = "an access entry for the same principal overrides this mapping";
            findings.push(finding(Severity::Note, "overridden", message));
        }
        let exists = !self.missing.contains(&text);
        if !exists {
            findings.push(finding(Severity::Error, "principal_missing", "IAM has no such principal"));
        }
        let never_matches = findings.iter().any(|found| NEVER_MATCHES.contains(&found.code.as_str()));
        AccessRow {
            principal: text,
            kind,
            source: AccessSource::AwsAuth,
            entry_type: None,
            username: Some(mapping.username.clone()).filter(|username| !username.is_empty()),
            groups: mapping.groups.clone(),
            policies: Vec::new(),
            applies: exists
                && !never_matches
                && !is_replaced
                && overriding.is_none()
                && self.uses_aws_auth() != Some(false),
            findings,
        }
    }

    fn account_row(&self, account: &MappedAccount, findings: Vec<AccessFinding>) -> AccessRow {
        let never_matches = findings.iter().any(|found| NEVER_MATCHES.contains(&found.code.as_str()));
        AccessRow {
            principal: account.id.clone(),
            kind: PrincipalKind::Account,
            source: AccessSource::AwsAuth,
            entry_type: None,
            username: None,
            groups: Vec::new(),
            policies: Vec::new(),
            applies: !never_matches && self.uses_aws_auth() != Some(false),
            findings,
        }
    }
}

/// The type of an access entry of people and programs.
pub const STANDARD: &str = "STANDARD";

/// The codes of findings about a line that no principal matches.
pub const NEVER_MATCHES: [&str; 6] =
    ["path_in_arn", "session_arn", "invalid_arn", "other_partition", "sso_partition", "invalid_account"];

/// Returns a finding about no text.
pub(crate) fn finding(severity: Severity, code: &str, message: impl Into<String>) -> AccessFinding {
    AccessFinding { severity, code: code.to_owned(), message: message.into(), hint: None, key: None, line: None }
}

/// Returns the findings of each row.
fn by_row(found: Vec<lint::Finding>) -> HashMap<(MapKey, usize), Vec<AccessFinding>> {
    let mut rows: HashMap<_, Vec<AccessFinding>> = HashMap::new();
    for lint::Finding { key, index, finding } in found {
        if let Some(place) = key.zip(index) {
            rows.entry(place).or_default().push(finding);
        }
    }
    rows
}

#[cfg(test)]
mod tests;
