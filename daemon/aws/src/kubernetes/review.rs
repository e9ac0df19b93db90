//! Reviews: who a token is, and what a user may do.

use std::collections::BTreeMap;
use std::time::Duration;

use rolecall_protocol::{ClusterAccess, sanitize_for_terminal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KubernetesClient, KubernetesError, TIMEOUT};

/// Each authenticated user may create one (`system:basic-user`; Kubernetes 1.28).
const SELF_SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const SELF_SUBJECT_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const SUBJECT_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// The Kubernetes user of a token. Its texts are safe for a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    /// The name.
    #[serde(default)]
    pub username: String,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What EKS says about the IAM principal: `arn`, `canonicalArn`, `sessionName` and others.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// One request that RBAC is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccessQuestion {
    /// The namespace; `None` for all namespaces, and for resources outside namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Such as `list`, or `*`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// Such as `pods`, or `*`.
    pub resource: String,
    /// Such as `log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// The name of one object; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the authorizers of the cluster answer to an [`AccessQuestion`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessAnswer {
    /// Whether an authorizer allows the request.
    #[serde(default)]
    pub allowed: bool,
    /// The authorizer's reason, such as the binding. Safe for a terminal.
    #[serde(default)]
    pub reason: String,
    /// An error of an authorizer. Safe for a terminal. The answer may be incomplete then.
    #[serde(default)]
    pub evaluation_error: String,
}

#[derive(Deserialize)]
struct Review<T> {
    status: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SelfSubject {
    user_info: UserInfo,
}

impl KubernetesClient {
    /// SelfSubjectReview: who the token is. Errors with `Status(404)` on an API server older than Kubernetes 1.28.
    pub async fn self_subject_review(&self) -> Result<UserInfo, KubernetesError> {
        self.self_subject_review_within(TIMEOUT).await
    }

    pub(super) async fn self_subject_review_within(&self, limit: Duration) -> Result<UserInfo, KubernetesError> {
        let body = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
        let review: Review<SelfSubject> = self.call("POST", SELF_SUBJECT_REVIEWS, Some(&body), limit).await?;
        let UserInfo { username, groups, extra } = review.status.user_info;
        let extra =
            extra.into_iter().map(|(key, values)| (shown(&key), values.iter().map(|text| shown(text)).collect()));
        Ok(UserInfo { username: shown(&username), groups: all_shown(&groups), extra: extra.collect() })
    }

    /// SelfSubjectAccessReview: whether the user of the token may do this.
    pub async fn self_subject_access_review(&self, question: &AccessQuestion) -> Result<AccessAnswer, KubernetesError> {
        let body = review_of("SelfSubjectAccessReview", json!({ "resourceAttributes": question }));
        let review: Review<AccessAnswer> = self.post(SELF_SUBJECT_ACCESS_REVIEWS, &body).await?;
        Ok(review.status.shown())
    }

    /// SubjectAccessReview: whether a user with these groups may do this. The caller needs the permission to create such reviews.
    /// RBAC answers for the name and the groups. EKS's access policies belong to an IAM principal, whose ARN EKS puts into `extra`,
    /// so they cannot answer without it.
    pub async fn subject_access_review(
        &self,
        user: &UserInfo,
        question: &AccessQuestion,
    ) -> Result<AccessAnswer, KubernetesError> {
        let spec = json!({
            "user": user.username, "groups": user.groups, "extra": user.extra, "resourceAttributes": question,
        });
        let review: Review<AccessAnswer> =
            self.post(SUBJECT_ACCESS_REVIEWS, &review_of("SubjectAccessReview", spec)).await?;
        Ok(review.status.shown())
    }
}

fn review_of(kind: &str, spec: Value) -> Value {
    let mut review = json!({ "kind": kind, "apiVersion": "authorization.k8s.io/v1" });
    review["spec"] = spec;
    review
}

impl AccessAnswer {
    fn shown(self) -> Self {
        Self { reason: shown(&self.reason), evaluation_error: shown(&self.evaluation_error), ..self }
    }
}

/// Whether the cluster maps the principal, by the outcome of a SelfSubjectReview. EKS answers 401 where no access entry and no
/// line of aws-auth maps it, and 403 or 404 where it is mapped and the review is not allowed or not known.
pub(super) fn cluster_access(review: Result<UserInfo, KubernetesError>) -> ClusterAccess {
    match review {
        Ok(user) => {
            ClusterAccess::Mapped { username: Some(user.username).filter(|name| !name.is_empty()), groups: user.groups }
        }
        Err(KubernetesError::Unauthorized) => ClusterAccess::NotMapped,
        Err(
            KubernetesError::Forbidden { .. }
            | KubernetesError::NotFound { .. }
            | KubernetesError::InvalidResponse { .. }
            | KubernetesError::Status(404 | 405),
        ) => ClusterAccess::Mapped { username: None, groups: Vec::new() },
        Err(KubernetesError::Unreachable { reason, .. }) => ClusterAccess::Unreachable { reason },
        Err(other) => ClusterAccess::Unreachable { reason: other.to_string() },
    }
}

fn shown(text: &str) -> String {
    sanitize_for_terminal(text)
}

fn all_shown(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| shown(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConnectionFailure;

    #[test]
    fn cluster_access_only_401_is_not_mapped() {
        let user = UserInfo { username: "dev".to_owned(), groups: vec!["edit".to_owned()], ..UserInfo::default() };
        let mapped = ClusterAccess::Mapped { username: Some("dev".to_owned()), groups: vec!["edit".to_owned()] };
        assert_eq!(cluster_access(Ok(user)), mapped);
        let unknown = ClusterAccess::Mapped { username: None, groups: Vec::new() };
        let reason = || "x".to_owned();
        for error in [
            KubernetesError::Forbidden { reason: reason() },
            KubernetesError::NotFound { reason: reason() },
            KubernetesError::InvalidResponse { reason: reason() },
            KubernetesError::Status(404),
        ] {
            assert_eq!(cluster_access(Err(error.clone())), unknown, "{error}");
        }
        assert_eq!(cluster_access(Err(KubernetesError::Unauthorized)), ClusterAccess::NotMapped);
        let unreachable = KubernetesError::Unreachable { failure: ConnectionFailure::TimedOut, reason: reason() };
        for error in [KubernetesError::Status(503), unreachable] {
            assert!(matches!(cluster_access(Err(error)), ClusterAccess::Unreachable { .. }));
        }
    }

    #[test]
    fn access_question_is_written_as_resource_attributes() {
        let question = AccessQuestion { verb: "list".to_owned(), resource: "pods".to_owned(), ..Default::default() };
        assert_eq!(serde_json::to_value(question).unwrap(), json!({ "verb": "list", "group": "", "resource": "pods" }));
    }
}
