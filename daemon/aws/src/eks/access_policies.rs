//! Access policies: what EKS itself allows the principal of an access entry, beside RBAC.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{EksClient, EksError, Ignored, Page, path};

/// An access policy of EKS. Its texts are those of EKS: they are not made safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccessPolicy {
    /// Such as `AmazonEKSViewPolicy`.
    pub name: String,
    /// The ARN, which has no account: `arn:aws:eks::aws:cluster-access-policy/NAME`.
    pub arn: String,
}

/// Where an associated policy applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum AccessScope {
    /// In the whole cluster.
    Cluster,
    /// In these namespaces; `*` is a wildcard.
    Namespace {
        /// The names or patterns.
        #[serde(default)]
        namespaces: Vec<String>,
    },
}

/// A policy that an access entry has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssociatedPolicy {
    /// The ARN of the policy.
    pub policy_arn: String,
    /// Where it applies.
    pub access_scope: AccessScope,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessPolicies {
    #[serde(default)]
    access_policies: Vec<AccessPolicy>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedPolicies {
    #[serde(default)]
    associated_access_policies: Vec<AssociatedPolicy>,
    next_token: Option<String>,
}

impl EksClient<'_> {
    /// ListAccessPolicies: each policy that EKS offers, from all pages.
    pub async fn list_access_policies(&self) -> Result<Vec<AccessPolicy>, EksError> {
        let page = |output: AccessPolicies| Page { items: output.access_policies, next_token: output.next_token };
        self.list("ListAccessPolicies", &path(&["access-policies"]), page).await
    }

    /// ListAssociatedAccessPolicies: the policies of an access entry, from all pages. Errors with `NotFound` if the principal has
    /// no access entry.
    pub async fn list_associated_policies(
        &self,
        cluster: &str,
        principal_arn: &str,
    ) -> Result<Vec<AssociatedPolicy>, EksError> {
        let path = path(&["clusters", cluster, "access-entries", principal_arn, "access-policies"]);
        let page = |output: AssociatedPolicies| Page {
            items: output.associated_access_policies,
            next_token: output.next_token,
        };
        self.list("ListAssociatedAccessPolicies", &path, page).await
    }

    /// AssociateAccessPolicy. Replaces the scope if the access entry has the policy.
    pub async fn associate_policy(
        &self,
        cluster: &str,
        principal_arn: &str,
        policy_arn: &str,
        scope: &AccessScope,
    ) -> Result<(), EksError> {
        let path = path(&["clusters", cluster, "access-entries", principal_arn, "access-policies"]);
        let body = json!({ "policyArn": policy_arn, "accessScope": scope });
        let Ignored {} = self.retrying("AssociateAccessPolicy", "POST", path, Some(&body)).await?;
        Ok(())
    }

    /// DisassociateAccessPolicy. Errors with `NotFound` if the access entry does not have the policy.
    pub async fn disassociate_policy(
        &self,
        cluster: &str,
        principal_arn: &str,
        policy_arn: &str,
    ) -> Result<(), EksError> {
        let path = path(&["clusters", cluster, "access-entries", principal_arn, "access-policies", policy_arn]);
        let Ignored {} = self.retrying("DisassociateAccessPolicy", "DELETE", path, None).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_scope_is_written_and_read_as_eks_does() {
        for (scope, text) in [
            (AccessScope::Cluster, r#"{"type":"cluster"}"#),
            (
                AccessScope::Namespace { namespaces: vec!["dev-*".to_owned()] },
                r#"{"type":"namespace","namespaces":["dev-*"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&scope).unwrap(), text);
            assert_eq!(serde_json::from_str::<AccessScope>(text).unwrap(), scope);
        }
        // EKS returns an empty list of namespaces beside the type cluster.
        let whole = r#"{"namespaces":[],"type":"cluster"}"#;
        assert_eq!(serde_json::from_str::<AccessScope>(whole).unwrap(), AccessScope::Cluster);
    }
}
