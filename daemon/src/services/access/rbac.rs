//! What a Kubernetes user may do: the bindings that name it, and what the cluster answers to common questions.

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::kubernetes::{AccessQuestion, Binding, KubernetesClient, KubernetesError, UserInfo};
use rolecall_protocol::{AccessAnswer, AccessBinding, ErrorBody, Unread};

use super::MAX_PARALLEL_CALLS;
use super::error::kubernetes_error;

/// The common questions: verb, API group, resource. They are asked one by one: SelfSubjectRulesReview would list RBAC alone, since
/// the authorizer of EKS's access policies cannot list its rules.
const QUESTIONS: [(&str, &str, &str); 11] = [
    ("get", "", "pods"),
    ("list", "", "pods"),
    ("get", "", "pods/log"),
    ("create", "", "pods/exec"),
    ("delete", "", "pods"),
    ("list", "apps", "deployments"),
    ("create", "apps", "deployments"),
    ("update", "apps", "deployments"),
    ("get", "", "secrets"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("*", "*", "*"),
];
/// The groups that the API server adds to every user.
const AUTHENTICATED: &str = "system:authenticated";

/// Whose rights are asked about.
#[derive(Clone, Copy)]
pub(in crate::services) enum Subject<'a> {
    /// The user of the token.
    Caller(&'a UserInfo),
    /// Another user.
    Other(&'a UserInfo),
}

/// What was found, and what could not be read.
#[derive(Default)]
pub(super) struct Rights {
    pub(super) bindings: Vec<AccessBinding>,
    pub(super) answers: Vec<AccessAnswer>,
    pub(super) unread: Vec<Unread>,
}

/// Reads the rights of a user in a namespace.
pub(super) async fn read(client: &KubernetesClient, subject: Subject<'_>, namespace: &str) -> Rights {
    let (Subject::Caller(user) | Subject::Other(user)) = subject;
    let mut rights = Rights::default();
    let found = bindings(client, namespace).await;
    match found {
        Ok(found) => rights.bindings = found.iter().filter_map(|binding| applies_to(binding, user)).collect(),
        Err(error) => rights.unread("role bindings", kubernetes_error(&error)),
    }
    let (answers, error) = answers(client, subject, namespace).await;
    rights.answers = answers;
    if let Some(error) = error {
        rights.unread("the answers of RBAC", kubernetes_error(&error));
    }
    rights
}

/// Asks the common questions, several at the same time. Returns the answers before the first error, and that error.
pub(in crate::services) async fn answers(
    client: &KubernetesClient,
    subject: Subject<'_>,
    namespace: &str,
) -> (Vec<AccessAnswer>, Option<KubernetesError>) {
    let mut answers = Vec::with_capacity(QUESTIONS.len());
    let asking: Vec<_> =
        QUESTIONS.iter().map(|question| Box::pin(answer(client, subject, namespace, *question))).collect();
    let mut asking = iter(asking).buffered(MAX_PARALLEL_CALLS);
    while let Some(answer) = asking.next().await {
        match answer {
            Ok(answer) => answers.push(answer),
            // The other questions would fail in the same way.
            Err(error) => return (answers, Some(error)),
        }
    }
    (answers, None)
}

async fn answer(
    client: &KubernetesClient,
    subject: Subject<'_>,
    namespace: &str,
    (verb, group, resource): (&str, &str, &str),
) -> Result<AccessAnswer, KubernetesError> {
    let (name, subresource) = match resource.split_once('/') {
        Some((name, subresource)) => (name, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let question = AccessQuestion {
        namespace: Some(namespace.to_owned()),
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: name.to_owned(),
        subresource,
        name: None,
    };
    let answer = match subject {
        Subject::Caller(_) => client.self_subject_access_review(&question).await?,
        Subject::Other(user) => client.subject_access_review(user, &question).await?,
    };
    Ok(AccessAnswer {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace: Some(namespace.to_owned()),
        allowed: Some(answer.allowed).filter(|allowed| *allowed || answer.evaluation_error.is_empty()),
    })
}

impl Rights {
    fn unread(&mut self, what: &str, error: ErrorBody) {
        self.unread.push(Unread { what: what.to_owned(), error });
    }
}

/// Reads the bindings of the whole cluster and of a namespace.
async fn bindings(client: &KubernetesClient, namespace: &str) -> Result<Vec<Binding>, KubernetesError> {
    let mut all = client.cluster_role_bindings().await?;
    all.extend(client.role_bindings(Some(namespace)).await?);
    Ok(all)
}

/// Returns a binding if it names the user or one of its groups.
fn applies_to(binding: &Binding, user: &UserInfo) -> Option<AccessBinding> {
    let is_of_user = |subject: &&rolecall_aws::kubernetes::BindingSubject| match subject.kind.as_str() {
        "User" => subject.name == user.username,
        "Group" => subject.name == AUTHENTICATED || user.groups.contains(&subject.name),
        _ => false,
    };
    let subject = binding.subjects.iter().find(is_of_user)?;
    // Every user has these; they say nothing about this one.
    if subject.name == AUTHENTICATED && binding.name.starts_with("system:") {
        return None;
    }
    Some(AccessBinding {
        name: binding.name.clone(),
        namespace: binding.namespace.clone(),
        role: format!("{}/{}", binding.role_kind, binding.role),
        subject: format!("{}/{}", subject.kind, subject.name),
    })
}

#[cfg(test)]
mod tests {
    use rolecall_aws::kubernetes::BindingSubject;

    use super::*;

    #[test]
    fn binding_applies_by_user_or_group() {
        let user = UserInfo { username: "dev:jo".to_owned(), groups: vec!["dev".to_owned()], ..UserInfo::default() };
        let binding = |name: &str, kind: &str, subject: &str| Binding {
            namespace: None,
            name: name.to_owned(),
            role_kind: "ClusterRole".to_owned(),
            role: "view".to_owned(),
            subjects: vec![BindingSubject { kind: kind.to_owned(), name: subject.to_owned() }],
        };
        let subject = |binding: Binding| applies_to(&binding, &user).map(|found| found.subject);
        assert_eq!(subject(binding("a", "User", "dev:jo")).as_deref(), Some("User/dev:jo"));
        assert_eq!(subject(binding("a", "Group", "dev")).as_deref(), Some("Group/dev"));
        assert_eq!(subject(binding("all", "Group", AUTHENTICATED)).as_deref(), Some("Group/system:authenticated"));
        for other in [
            binding("a", "User", "dev"),
            binding("a", "Group", "dev:jo"),
            binding("a", "ServiceAccount", "dev:jo"),
            binding("system:basic-user", "Group", AUTHENTICATED),
        ] {
            assert_eq!(subject(other.clone()), None, "{other:?}");
        }
    }
}
