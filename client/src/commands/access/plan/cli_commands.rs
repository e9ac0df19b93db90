//! The plan as commands of the AWS CLI, kubectl and rolecall.

use std::fmt::Write as _;

use serde_json::Value;

use super::blueprint::{Access, Blueprint, Principal, Role};
use super::{documents, kubernetes};
use crate::cli::Via;
use rolecall_trusted_file::shell_quoted;

/// The commands, with a comment before each step.
pub(super) fn render(blueprint: &Blueprint) -> String {
    let Blueprint { cluster, region, account, .. } = blueprint;
    let mut text = format!(
        "# Access to cluster {cluster} in {region}, account {}. An administrator runs these commands.\n",
        account.id
    );
    for role in blueprint.roles() {
        text.push_str(&role_commands(blueprint, role));
    }
    for user in blueprint.users() {
        text.push_str(&user_commands(blueprint, user));
    }
    for access in &blueprint.accesses {
        text.push_str(&match blueprint.via {
            Via::AccessEntries => entry_commands(blueprint, access),
            Via::AwsAuth => mapping_commands(blueprint, access),
        });
    }
    if !blueprint.bindings.is_empty() {
        text.push_str("\n# What the groups in Kubernetes may do\n");
        text.push_str(&kubernetes::apply_command(blueprint));
    }
    text.push_str(&user_steps(blueprint));
    text
}

/// The role, its group, and the users of the group.
fn role_commands(blueprint: &Blueprint, role: &Role) -> String {
    let Role { path, name, group, users, .. } = role;
    let path = if path == "/" { String::new() } else { format!(" --path {}", word(path)) };
    let trust = json(&documents::trust(role));
    let (describe, assume) = (json(&documents::describe(blueprint)), json(&documents::assume(blueprint, role)));
    let (name, group) = (word(name), word(group));
    let mut text = format!(
        "\n# The role {name}, and who may assume it\n\
         aws iam create-role --role-name {name}{path} \\\n    --assume-role-policy-document {trust}\n\
         aws iam put-role-policy --role-name {name} --policy-name describe-cluster \\\n    --policy-document {describe}\n\
         \n# The group whose users may assume it\n\
         aws iam create-group --group-name {group}\n\
         aws iam put-group-policy --group-name {group} --policy-name assume-role \\\n    --policy-document {assume}\n",
    );
    if users.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# For each user: aws iam add-user-to-group --group-name {group} --user-name NAME");
    }
    for user in users {
        let user = word(user.rsplit('/').next().unwrap_or(user));
        let _ = writeln!(text, "aws iam add-user-to-group --group-name {group} --user-name {user}");
    }
    text
}

/// What a user who enters directly needs in IAM.
fn user_commands(blueprint: &Blueprint, user: &str) -> String {
    let name = word(user.rsplit('/').next().unwrap_or(user));
    let describe = json(&documents::describe(blueprint));
    format!(
        "\n# The user {name} finds the cluster. Create the user first if needed: aws iam create-user --user-name {name}\n\
         aws iam put-user-policy --user-name {name} --policy-name describe-cluster-{} \\\n    \
         --policy-document {describe}\n",
        blueprint.cluster
    )
}

fn entry_commands(blueprint: &Blueprint, access: &Access) -> String {
    let Blueprint { cluster, region, .. } = blueprint;
    let arn = word(&blueprint.arn(&access.principal));
    let groups = access.groups.iter().map(|group| word(group)).collect::<Vec<_>>().join(" ");
    let groups = if groups.is_empty() { String::new() } else { format!(" \\\n    --kubernetes-groups {groups}") };
    let mut text = format!(
        "\n# The access entry of {}\n\
         aws eks create-access-entry --region {region} --cluster-name {cluster} --principal-arn {arn}{groups}\n",
        name_of(access)
    );
    let scope = if access.namespaces.is_empty() {
        "type=cluster".to_owned()
    } else {
        format!("type=namespace,namespaces={}", access.namespaces.join(","))
    };
    for policy in &access.policies {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "aws eks associate-access-policy --region {region} --cluster-name {cluster} --principal-arn {arn} \\\n    \
             --policy-arn {} --access-scope {}",
            word(&blueprint.policy_arn(policy)),
            word(&scope)
        );
    }
    text
}

fn mapping_commands(blueprint: &Blueprint, access: &Access) -> String {
    format!(
        "\n# The mapping of {} in aws-auth, which keeps everything else in it:\n{}{}",
        name_of(access),
        kubernetes::mapping_comment(blueprint, access),
        kubernetes::mapping_command(blueprint, access)
    )
}

fn name_of(access: &Access) -> String {
    match &access.principal {
        Principal::User(user) => format!("user {user}"),
        Principal::Role(role) => format!("role {}", role.name),
    }
}

/// What each user runs afterwards, as comments.
pub(super) fn user_steps(blueprint: &Blueprint) -> String {
    let mut commands: Vec<String> =
        blueprint.accesses.iter().map(|access| kubernetes::add_command(blueprint, access)).collect();
    commands.dedup();
    let commands: String = commands.iter().map(|command| format!("#   {command}")).collect();
    format!("\n# Then each user runs, with --aws-profile if it is not the default one:\n{commands}")
}

/// A document as one word of a shell.
fn json(document: &Value) -> String {
    word(&document.to_string())
}

fn word(text: &str) -> String {
    shell_quoted(text.as_ref())
}
