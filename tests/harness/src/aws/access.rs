//! The access entries of clusters: which IAM principals may enter, as which Kubernetes user, with which access policies.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::arn::Arn;
use crate::random::request_id;
use crate::time::unix_seconds;

/// The Kubernetes user that a principal gets in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grantee {
    /// A template: may contain `{{SessionName}}`, `{{SessionNameRaw}}`, `{{AccountID}}` and `{{AccessKeyID}}`.
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
    pub(crate) policies: Vec<AssociatedPolicy>,
}

/// An access policy of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssociatedPolicy {
    pub(crate) arn: String,
    /// `None` for the whole cluster.
    pub(crate) namespaces: Option<Vec<String>>,
    pub(crate) associated: SystemTime,
    pub(crate) modified: SystemTime,
}

/// An access entry.
#[derive(Clone, Debug)]
pub(crate) struct AccessEntry {
    pub(crate) principal: String,
    /// The unique id of the principal when the entry was created. `None` matches any: a grant of a principal that does not
    /// exist in the embedded IAM.
    pub(crate) principal_id: Option<String>,
    pub(crate) kind: String,
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) arn: String,
    pub(crate) created: SystemTime,
    pub(crate) modified: SystemTime,
    pub(crate) request_token: String,
    pub(crate) policies: Vec<AssociatedPolicy>,
}

/// The access entries of all clusters, by region and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access(BTreeMap<(String, String), BTreeMap<String, AccessEntry>>);

impl Access {
    /// Returns the entries of a cluster by the ARN of their principal.
    pub(crate) fn entries(&mut self, cluster: &str, region: &str) -> &mut BTreeMap<String, AccessEntry> {
        self.0.entry((region.to_owned(), cluster.to_owned())).or_default()
    }

    /// Finds the user of a canonical ARN (a role's ARN without its path) and a unique id. Without an id, the ARN decides.
    pub(crate) fn find(&self, cluster: &str, region: &str, canonical: &str, id: Option<&str>) -> Option<Grantee> {
        let entries = self.0.get(&(region.to_owned(), cluster.to_owned()))?;
        let is_known = |entry: &&AccessEntry| match (&entry.principal_id, id) {
            (Some(known), Some(id)) => known == id,
            _ => true,
        };
        let found = entries.values().filter(is_known).find(|entry| without_path(&entry.principal) == canonical)?;
        let (username, groups) = (found.username.clone(), found.groups.clone());
        Some(Grantee { username, groups, policies: found.policies.clone() })
    }
}

impl AccessEntry {
    /// Creates an entry of the type STANDARD, without policies. `cluster` is the ARN of the cluster.
    pub(crate) fn new(cluster: &str, principal: &str, principal_id: Option<String>, now: SystemTime) -> Self {
        let parsed = Arn::parse(principal).unwrap_or_else(|| panic!("{principal} is not an ARN"));
        let (kind, account, name) = (parsed.kind(), &parsed.account, parsed.name());
        let entry = cluster.replacen(":cluster/", ":access-entry/", 1);
        Self {
            principal: principal.to_owned(),
            principal_id,
            kind: "STANDARD".to_owned(),
            username: default_username(&parsed, principal),
            groups: Vec::new(),
            tags: BTreeMap::new(),
            arn: format!("{entry}/{kind}/{account}/{name}/{}", request_id()),
            created: now,
            modified: now,
            request_token: String::new(),
            policies: Vec::new(),
        }
    }

    /// Returns the entry as EKS does. `cluster` is its name.
    pub(crate) fn json(&self, cluster: &str) -> Value {
        json!({
            "clusterName": cluster,
            "principalArn": self.principal,
            "kubernetesGroups": self.groups,
            "accessEntryArn": self.arn,
            "createdAt": unix_seconds(self.created),
            "modifiedAt": unix_seconds(self.modified),
            "tags": self.tags,
            "username": self.username,
            "type": self.kind,
        })
    }
}

impl AssociatedPolicy {
    /// AmazonEKSClusterAdminPolicy in the whole cluster.
    pub(crate) fn cluster_admin(now: SystemTime) -> Self {
        let arn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy".to_owned();
        Self { arn, namespaces: None, associated: now, modified: now }
    }

    /// Returns the policy as EKS does.
    pub(crate) fn json(&self) -> Value {
        let kind = if self.namespaces.is_some() { "namespace" } else { "cluster" };
        json!({
            "policyArn": self.arn,
            "accessScope": { "type": kind, "namespaces": self.namespaces.clone().unwrap_or_default() },
            "associatedAt": unix_seconds(self.associated),
            "modifiedAt": unix_seconds(self.modified),
        })
    }

    /// Returns the name: the last part of the ARN.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

/// Returns the username that EKS chooses: the ARN of a user, or the ARN of the role's sessions.
fn default_username(parsed: &Arn, principal: &str) -> String {
    if parsed.kind() == "role" { parsed.assumed("{{SessionName}}") } else { principal.to_owned() }
}

/// Returns the ARN of a role without its path; other ARNs stay.
pub(crate) fn without_path(principal: &str) -> String {
    match Arn::parse(principal) {
        Some(arn) if arn.kind() == "role" => {
            format!("arn:{}:iam::{}:role/{}", arn.partition, arn.account, arn.name())
        }
        _ => principal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/prod";
    const PATHED: &str = "arn:aws:iam::111122223333:role/team/dev";
    const CANONICAL: &str = "arn:aws:iam::111122223333:role/dev";

    #[test]
    fn entry_of_a_role_matches_without_path_and_by_id() {
        let mut access = Access::default();
        let entry = AccessEntry::new(CLUSTER, PATHED, Some("AROA1".to_owned()), SystemTime::UNIX_EPOCH);
        assert!(entry.arn.starts_with("arn:aws:eks:eu-west-1:111122223333:access-entry/prod/role/111122223333/dev/"));
        access.entries("prod", "eu-west-1").insert(PATHED.to_owned(), entry);
        let found = |region: &str, id: &str| access.find("prod", region, CANONICAL, Some(id));
        let user = found("eu-west-1", "AROA1").unwrap();
        assert_eq!(user.username, "arn:aws:sts::111122223333:assumed-role/dev/{{SessionName}}");
        assert_eq!(found("us-east-1", "AROA1"), None);
        assert_eq!(found("eu-west-1", "AROA2"), None, "a role that was deleted and made again");
    }
}
