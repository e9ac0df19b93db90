//! RoleBindings and ClusterRoleBindings: which RBAC roles users and groups have. And namespaces, which they refer to.

use rolecall_protocol::sanitize_for_terminal;
use serde::Deserialize;
use serde_json::Value;

use super::{KubernetesClient, KubernetesError, segment};

/// A RoleBinding or ClusterRoleBinding. Its texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The namespace; `None` for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The kind of the role: `ClusterRole` or `Role`.
    pub role_kind: String,
    /// The name of the role.
    pub role: String,
    /// The users, groups and service accounts that have the role.
    pub subjects: Vec<BindingSubject>,
}

/// A subject of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSubject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// The part of the object that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Metadata,
    role_ref: Named,
    subjects: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    kind: String,
    name: String,
}

impl KubernetesClient {
    /// Each ClusterRoleBinding, from all pages.
    pub async fn cluster_role_bindings(&self) -> Result<Vec<Binding>, KubernetesError> {
        let found: Vec<Object> = self.list("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings").await?;
        Ok(found.into_iter().map(Binding::from).collect())
    }

    /// Each RoleBinding of a namespace, or of all namespaces, from all pages.
    pub async fn role_bindings(&self, namespace: Option<&str>) -> Result<Vec<Binding>, KubernetesError> {
        let place = namespace.map(|namespace| format!("/namespaces/{}", segment(namespace))).unwrap_or_default();
        let found: Vec<Object> = self.list(&format!("/apis/rbac.authorization.k8s.io/v1{place}/rolebindings")).await?;
        Ok(found.into_iter().map(Binding::from).collect())
    }

    /// Whether a namespace exists.
    pub async fn namespace_exists(&self, name: &str) -> Result<bool, KubernetesError> {
        match self.get::<Value>(&format!("/api/v1/namespaces/{}", segment(name))).await {
            Ok(_) => Ok(true),
            Err(KubernetesError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl From<Object> for Binding {
    fn from(object: Object) -> Self {
        let shown = |text: String| sanitize_for_terminal(&text);
        let subjects = object.subjects.unwrap_or_default();
        Self {
            namespace: object.metadata.namespace.filter(|name| !name.is_empty()).map(shown),
            name: shown(object.metadata.name),
            role_kind: shown(object.role_ref.kind),
            role: shown(object.role_ref.name),
            subjects: subjects
                .into_iter()
                .map(|subject| BindingSubject { kind: shown(subject.kind), name: shown(subject.name) })
                .collect(),
        }
    }
}
