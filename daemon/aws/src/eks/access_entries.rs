//! Access entries: which IAM principals may enter a cluster, and as which Kubernetes user.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{EksClient, EksError, Ignored, Page, path, request_token};

/// The type of an entry for users and programs. The other types are for the nodes of a cluster.
pub const STANDARD: &str = "STANDARD";

/// An access entry. Its texts are those of EKS: they are not made safe for a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessEntry {
    /// The ARN of the user or role; that of a role has its path.
    pub principal_arn: String,
    /// The ARN of the entry.
    pub access_entry_arn: Option<String>,
    /// Such as [`STANDARD`] or `EC2_LINUX`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The Kubernetes user, with templates such as `{{SessionName}}`.
    pub username: Option<String>,
    /// The Kubernetes groups.
    #[serde(default)]
    pub kubernetes_groups: Vec<String>,
    /// The tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The values of a new access entry. EKS chooses those that are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAccessEntry {
    /// The ARN of the user or role; that of a role has its path.
    pub principal_arn: String,
    /// The type; [`STANDARD`] by default.
    pub kind: Option<String>,
    /// The Kubernetes user.
    pub username: Option<String>,
    /// The Kubernetes groups.
    pub kubernetes_groups: Vec<String>,
}

/// Changes of an access entry. `None` keeps a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessEntryChange {
    /// The new Kubernetes user.
    pub username: Option<String>,
    /// The new Kubernetes groups, all of them.
    pub kubernetes_groups: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessEntries {
    #[serde(default)]
    access_entries: Vec<String>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessEntryOutput {
    access_entry: AccessEntry,
}

impl EksClient<'_> {
    /// ListAccessEntries: the ARN of each principal with an access entry, from all pages.
    pub async fn list_access_entries(&self, cluster: &str) -> Result<Vec<String>, EksError> {
        let path = path(&["clusters", cluster, "access-entries"]);
        let page = |output: AccessEntries| Page { items: output.access_entries, next_token: output.next_token };
        self.list("ListAccessEntries", &path, page).await
    }

    /// DescribeAccessEntry. Errors with `NotFound` if the principal has no access entry.
    pub async fn describe_access_entry(&self, cluster: &str, principal_arn: &str) -> Result<AccessEntry, EksError> {
        let path = path(&["clusters", cluster, "access-entries", principal_arn]);
        let output: AccessEntryOutput = self.retrying("DescribeAccessEntry", "GET", path, None).await?;
        Ok(output.access_entry)
    }

    /// CreateAccessEntry. Errors with `InUse` if the principal has an access entry, and with `InvalidParameter` if it does
    /// not exist.
    pub async fn create_access_entry(&self, cluster: &str, new: &NewAccessEntry) -> Result<AccessEntry, EksError> {
        let mut body = json!({ "principalArn": new.principal_arn, "clientRequestToken": request_token() });
        if let Some(kind) = &new.kind {
            body["type"] = json!(kind);
        }
        if let Some(username) = &new.username {
            body["username"] = json!(username);
        }
        if !new.kubernetes_groups.is_empty() {
            body["kubernetesGroups"] = json!(new.kubernetes_groups);
        }
        let path = path(&["clusters", cluster, "access-entries"]);
        let output: AccessEntryOutput = self.retrying("CreateAccessEntry", "POST", path, Some(&body)).await?;
        Ok(output.access_entry)
    }

    /// UpdateAccessEntry. Errors with `NotFound` if the principal has no access entry.
    pub async fn update_access_entry(
        &self,
        cluster: &str,
        principal_arn: &str,
        change: &AccessEntryChange,
    ) -> Result<AccessEntry, EksError> {
        let mut body = json!({ "clientRequestToken": request_token() });
        if let Some(username) = &change.username {
            body["username"] = json!(username);
        }
        if let Some(groups) = &change.kubernetes_groups {
            body["kubernetesGroups"] = json!(groups);
        }
        let path = path(&["clusters", cluster, "access-entries", principal_arn]);
        let output: AccessEntryOutput = self.retrying("UpdateAccessEntry", "POST", path, Some(&body)).await?;
        Ok(output.access_entry)
    }

    /// DeleteAccessEntry. Errors with `NotFound` if the principal has no access entry.
    pub async fn delete_access_entry(&self, cluster: &str, principal_arn: &str) -> Result<(), EksError> {
        let path = path(&["clusters", cluster, "access-entries", principal_arn]);
        let Ignored {} = self.retrying("DeleteAccessEntry", "DELETE", path, None).await?;
        Ok(())
    }
}
