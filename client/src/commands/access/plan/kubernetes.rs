//! The ClusterRoles, their bindings and the mappings of aws-auth.

use std::fmt::Write as _;

use rolecall_protocol::ProfileName;

use super::blueprint::{Access, Binding, Blueprint, Principal};
use rolecall_trusted_file::shell_quoted;

/// The objects of Kubernetes as YAML documents; empty if none is needed.
pub(super) fn manifest(bindings: &[Binding]) -> String {
    bindings.iter().flat_map(documents).collect::<Vec<_>>().join("---\n")
}

fn documents(binding: &Binding) -> Vec<String> {
    let mut documents = Vec::new();
    if !binding.rules.is_empty() {
        documents.push(cluster_role(binding));
    }
    if binding.namespaces.is_empty() {
        documents.push(role_binding(binding, None));
    }
    documents.extend(binding.namespaces.iter().map(|namespace| role_binding(binding, Some(namespace))));
    documents
}

fn cluster_role(binding: &Binding) -> String {
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules:\n",
        quoted(&binding.cluster_role)
    );
    for (verbs, resource) in &binding.rules {
        let verbs: Vec<String> = verbs.iter().map(|verb| quoted(verb)).collect();
        // Writing to a String cannot fail.
        let _ =
            write!(text, "- apiGroups: [\"\"]\n  resources: [{}]\n  verbs: [{}]\n", quoted(resource), verbs.join(", "));
    }
    text
}

fn role_binding(binding: &Binding, namespace: Option<&str>) -> String {
    let kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
    let namespace = namespace.map(|namespace| format!("  namespace: {}\n", quoted(namespace))).unwrap_or_default();
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {role}\n\
         subjects:\n- apiGroup: rbac.authorization.k8s.io\n  kind: Group\n  name: {name}\n",
        name = quoted(&binding.group),
        role = quoted(&binding.cluster_role),
    )
}

/// The command that creates the objects.
pub(super) fn apply_command(blueprint: &Blueprint) -> String {
    format!("kubectl --context {} apply -f - <<'EOF'\n{}EOF\n", blueprint.profile, manifest(&blueprint.bindings))
}

/// The command that writes a mapping into aws-auth, which keeps the other mappings.
pub(super) fn mapping_command(blueprint: &Blueprint, access: &Access) -> String {
    let option = match access.principal {
        Principal::User(_) => "--user",
        Principal::Role(_) => "--role",
    };
    let groups: Vec<String> = access.groups.iter().map(|group| shell_quoted(group.as_ref())).collect();
    let arn = blueprint.arn(&access.principal);
    format!(
        "rolecall access grant {} {option} {} --username {} --group {} --via aws-auth\n",
        blueprint.profile,
        shell_quoted(arn.as_ref()),
        shell_quoted(username(&access.principal).as_ref()),
        groups.join(" ")
    )
}

/// The entry of aws-auth that [`mapping_command`] adds, as comments. A role stands there without its path.
pub(super) fn mapping_comment(blueprint: &Blueprint, access: &Access) -> String {
    let groups = access.groups.iter().map(|group| quoted(group)).collect::<Vec<_>>().join(", ");
    let (key, arn_key, arn) = match &access.principal {
        Principal::User(_) => ("mapUsers", "userarn", blueprint.arn(&access.principal)),
        Principal::Role(role) => {
            ("mapRoles", "rolearn", format!("{}role/{}", blueprint.account.iam_prefix(), role.name))
        }
    };
    let username = quoted(&username(&access.principal));
    format!("# {key}:\n# - {arn_key}: {arn}\n#   username: {username}\n#   groups: [{groups}]\n")
}

/// The name in Kubernetes of a principal in aws-auth. The authenticator replaces `{{SessionName}}`.
fn username(principal: &Principal) -> String {
    match principal {
        Principal::User(user) => user.rsplit('/').next().unwrap_or(user).to_owned(),
        Principal::Role(role) => format!("{}:{{{{SessionName}}}}", role.name),
    }
}

/// What a user runs afterwards.
pub(super) fn add_command(blueprint: &Blueprint, access: &Access) -> String {
    let Blueprint { profile, cluster, region, .. } = blueprint;
    let name = match &access.principal {
        Principal::Role(role) if blueprint.roles().count() > 1 => role.name.clone(),
        _ => profile.clone(),
    };
    // A name of IAM may have characters that a profile may not have.
    let name = name.parse::<ProfileName>().map_or_else(|_| profile.clone(), |name| name.to_string());
    let cluster_option = if *cluster == name { String::new() } else { format!(" --cluster {cluster}") };
    let role = match &access.principal {
        Principal::Role(role) => format!(" --role-arn {}", shell_quoted(blueprint.role_arn(role).as_ref())),
        Principal::User(_) => String::new(),
    };
    format!("rolecall add {name}{cluster_option} --region {region}{role}\n")
}

/// A text as a string of YAML and JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
