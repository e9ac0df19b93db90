//! The plan as a Terraform configuration.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::blueprint::{Access, Blueprint, Principal, Role};
use super::cloudformation::{outside, unique};
use super::documents;
use super::kubernetes::quoted;
use crate::cli::Via;

/// The configuration in HCL, for the providers `aws` and `kubernetes`. What they do not create follows as comments.
pub(super) fn render(blueprint: &Blueprint) -> String {
    let Blueprint { cluster, region, .. } = blueprint;
    let mut text = format!("# Access to cluster {cluster} in {region}: terraform plan, then terraform apply\n");
    let mut names = HashSet::new();
    for access in &blueprint.accesses {
        let id = identifier(access, &mut names);
        match &access.principal {
            Principal::Role(role) => text.push_str(&role_blocks(blueprint, role, &id)),
            Principal::User(user) => text.push_str(&user_block(blueprint, user, &id)),
        }
        if blueprint.via == Via::AccessEntries {
            text.push_str(&entry_blocks(blueprint, access, &id));
        }
    }
    text + &outside(blueprint)
}

fn role_blocks(blueprint: &Blueprint, role: &Role, id: &str) -> String {
    let mut blocks = vec![
        block(
            "aws_iam_role",
            id,
            &[
                ("name", quoted(&role.name)),
                ("path", quoted(&role.path)),
                ("assume_role_policy", document(&documents::trust(role))),
            ],
        ),
        block(
            "aws_iam_role_policy",
            id,
            &[
                ("name", quoted("describe-cluster")),
                ("role", format!("aws_iam_role.{id}.id")),
                ("policy", document(&documents::describe(blueprint))),
            ],
        ),
        block("aws_iam_group", id, &[("name", quoted(&role.group))]),
        block(
            "aws_iam_group_policy",
            id,
            &[
                ("name", quoted("assume-role")),
                ("group", format!("aws_iam_group.{id}.name")),
                ("policy", document(&documents::assume(blueprint, role))),
            ],
        ),
    ];
    if !role.users.is_empty() {
        let users: Vec<String> = role.users.iter().filter_map(|user| user.rsplit('/').next()).map(quoted).collect();
        blocks.push(block(
            "aws_iam_group_membership",
            id,
            &[
                ("name", quoted(&role.group)),
                ("group", format!("aws_iam_group.{id}.name")),
                ("users", format!("[{}]", users.join(", "))),
            ],
        ));
    }
    blocks.concat()
}

fn user_block(blueprint: &Blueprint, user: &str, id: &str) -> String {
    block(
        "aws_iam_user_policy",
        id,
        &[
            ("name", quoted(&format!("describe-cluster-{}", blueprint.cluster))),
            ("user", quoted(user.rsplit('/').next().unwrap_or(user))),
            ("policy", document(&documents::describe(blueprint))),
        ],
    )
}

fn entry_blocks(blueprint: &Blueprint, access: &Access, id: &str) -> String {
    let principal = match &access.principal {
        Principal::Role(_) => format!("aws_iam_role.{id}.arn"),
        Principal::User(_) => quoted(&blueprint.arn(&access.principal)),
    };
    let list = |items: &[String]| format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "));
    let mut arguments = vec![("cluster_name", quoted(&blueprint.cluster)), ("principal_arn", principal)];
    if !access.groups.is_empty() {
        arguments.push(("kubernetes_groups", list(&access.groups)));
    }
    let mut text = block("aws_eks_access_entry", id, &arguments);
    for (index, policy) in access.policies.iter().enumerate() {
        let id_of_policy = if index == 0 { id.to_owned() } else { format!("{id}_{}", index + 1) };
        let scope = if access.namespaces.is_empty() {
            "    type = \"cluster\"\n".to_owned()
        } else {
            format!("    type       = \"namespace\"\n    namespaces = {}\n", list(&access.namespaces))
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nresource \"aws_eks_access_policy_association\" \"{id_of_policy}\" {{\n  \
             cluster_name  = {}\n  principal_arn = aws_eks_access_entry.{id}.principal_arn\n  policy_arn    = {}\n\n  \
             access_scope {{\n{scope}  }}\n}}\n",
            quoted(&blueprint.cluster),
            quoted(&blueprint.policy_arn(policy)),
        );
    }
    text
}

/// A resource, with its equals signs in one column as `terraform fmt` aligns them.
fn block(kind: &str, id: &str, arguments: &[(&str, String)]) -> String {
    let width = arguments.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let lines = arguments.iter().map(|(key, value)| format!("  {key:<width$} = {value}\n"));
    format!("\nresource \"{kind}\" \"{id}\" {{\n{}}}\n", lines.collect::<String>())
}

/// A document as HCL, which reads objects of JSON.
fn document(document: &Value) -> String {
    format!("jsonencode({document})")
}

/// A unique identifier of Terraform, made from the name of a principal.
fn identifier(access: &Access, names: &mut HashSet<String>) -> String {
    let name = match &access.principal {
        Principal::User(user) => user.as_str(),
        Principal::Role(role) => &role.name,
    };
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("_{name}") };
    unique(&name, names)
}
