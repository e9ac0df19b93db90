//! The authorizers: RBAC with the default ClusterRoles, and EKS's access policies. A part of their rules, so that a user is
//! denied what the real cluster would deny.

use serde_json::{Value, json};

use super::api::objects::{Kind, Objects};
use super::authenticator::User;

/// One request, as an authorizer sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// Empty for all namespaces and for resources outside namespaces.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Verbs, API groups and resources.
type Rule = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["*"];
const CORE: &[&str] = &[
    "configmaps",
    "endpoints",
    "events",
    "persistentvolumeclaims",
    "pods",
    "pods/log",
    "pods/status",
    "serviceaccounts",
    "services",
];
const WORKLOADS: &[&str] = &["daemonsets", "deployments", "replicasets", "statefulsets", "jobs", "cronjobs"];
const VIEW: &[Rule] = &[(READ, &[""], CORE), (READ, &[""], &["namespaces"]), (READ, &["apps", "batch"], WORKLOADS)];
const EDIT: &[Rule] = &[
    (WRITE, &[""], CORE),
    (WRITE, &["apps", "batch"], WORKLOADS),
    (READ, &[""], &["secrets", "pods/exec"]),
    (WRITE, &[""], &["secrets", "pods/exec"]),
];
const RBAC: &[&str] = &["rbac.authorization.k8s.io"];
const ADMIN: &[Rule] = &[(READ, RBAC, &["roles", "rolebindings"]), (WRITE, RBAC, &["roles", "rolebindings"])];
const BASIC: &[Rule] = &[
    (&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    (&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
];

/// Returns the rules of a ClusterRole; none for an unknown one.
fn rules(role: &str) -> Vec<Rule> {
    match role {
        "cluster-admin" => vec![(ALL, ALL, ALL)],
        "admin" => [VIEW, EDIT, ADMIN].concat(),
        "edit" => [VIEW, EDIT].concat(),
        "view" => VIEW.to_vec(),
        "system:basic-user" => BASIC.to_vec(),
        _ => Vec::new(),
    }
}

/// Returns the rules of an access policy.
fn policy_rules(policy: &str) -> Vec<Rule> {
    match policy {
        "AmazonEKSClusterAdminPolicy" => rules("cluster-admin"),
        "AmazonEKSAdminPolicy" => rules("admin"),
        "AmazonEKSEditPolicy" => rules("edit"),
        "AmazonEKSViewPolicy" => rules("view"),
        "AmazonEKSAdminViewPolicy" => vec![(READ, ALL, ALL)],
        _ => Vec::new(),
    }
}

/// Returns why the user may do this; `None` if no authorizer allows it.
pub(crate) fn allows(objects: &Objects, user: &User, request: &Attributes) -> Option<String> {
    let matches = |rules: Vec<Rule>| rules.iter().any(|rule| allowed_by(rule, request));
    let binding = bindings(objects, user, &request.namespace).into_iter().find(|found| matches(rules(&found.role)));
    if let Some(found) = binding {
        return Some(format!(
            "RBAC: allowed by {} \"{}\" of ClusterRole \"{}\" to {}",
            found.kind, found.name, found.role, found.subject
        ));
    }
    let policy = user.policies.iter().find(|policy| {
        let patterns = policy.namespaces.as_deref();
        let applies = patterns.is_none_or(|patterns| patterns.iter().any(|one| is_like(one, &request.namespace)));
        applies && matches(policy_rules(policy.name()))
    });
    policy.map(|policy| format!("EKS Access Policy: allowed by {}", policy.name()))
}

/// Returns what SelfSubjectRulesReview says: RBAC alone, since EKS's authorizer cannot list its rules.
pub(crate) fn rules_review(objects: &Objects, user: &User, namespace: &str) -> Value {
    let rules: Vec<Value> = bindings(objects, user, namespace)
        .iter()
        .flat_map(|found| rules(&found.role))
        .map(|(verbs, groups, resources)| json!({ "verbs": verbs, "apiGroups": groups, "resources": resources }))
        .collect();
    let mut status = json!({ "resourceRules": rules, "nonResourceRules": [], "incomplete": true });
    status["evaluationError"] = json!("webhook authorizer does not support user rule resolution");
    status
}

/// A binding that gives a user a role.
struct Bound {
    kind: &'static str,
    name: String,
    role: String,
    subject: String,
}

/// Returns the bindings of a user that apply in a namespace.
fn bindings(objects: &Objects, user: &User, namespace: &str) -> Vec<Bound> {
    let cluster_wide = objects.find(Kind::ClusterRoleBinding, None, None);
    let local = objects.find(Kind::RoleBinding, Some(namespace), None);
    let found = cluster_wide.into_iter().chain(local).filter_map(|object| {
        let subjects = object.json["subjects"].as_array()?;
        let subject = subjects.iter().find(|subject| is_user(subject, user))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Bound {
            kind: object.kind.name(),
            name: object.name.clone(),
            role: text(&object.json["roleRef"]["name"]),
            subject: format!("{} \"{}\"", text(&subject["kind"]), text(&subject["name"])),
        })
    });
    found.collect()
}

fn is_user(subject: &Value, user: &User) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => name == user.username,
        Some("Group") => user.groups.iter().any(|group| group == name),
        _ => false,
    }
}

fn allowed_by(rule: &Rule, request: &Attributes) -> bool {
    let has = |list: &[&str], wanted: &str| list.iter().any(|one| *one == "*" || *one == wanted);
    let resource = match request.subresource.as_str() {
        "" => request.resource.clone(),
        subresource => format!("{}/{subresource}", request.resource),
    };
    has(rule.0, &request.verb) && has(rule.1, &request.group) && has(rule.2, &resource)
}

/// Returns whether a name matches a pattern, in which `*` is any text.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| is_like(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn namespace_pattern_star_is_any_text() {
        for (pattern, name, expected) in [
            ("dev", "dev", true),
            ("dev", "dev2", false),
            ("dev-*", "dev-a", true),
            ("*-dev", "a-dev", true),
            ("*", "", true),
        ] {
            assert_eq!(is_like(pattern, name), expected, "{pattern} {name}");
        }
    }
}
