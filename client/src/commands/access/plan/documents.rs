//! The policies of IAM as JSON.

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Role};

/// Who may assume a role.
pub(super) fn trust(role: &Role) -> Value {
    statement(with_condition(
        json!({"Effect": "Allow", "Principal": {"AWS": role.trusted}, "Action": action(&role.actions)}),
        role.needs_mfa,
    ))
}

/// Lets the users of a group assume a role.
pub(super) fn assume(blueprint: &Blueprint, role: &Role) -> Value {
    let resource = blueprint.role_arn(role);
    statement(json!({"Effect": "Allow", "Action": action(&role.actions), "Resource": resource}))
}

/// Lets a principal find the API server of the cluster.
pub(super) fn describe(blueprint: &Blueprint) -> Value {
    statement(json!({"Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": blueprint.cluster_arn()}))
}

fn statement(statement: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

fn action(actions: &[&str]) -> Value {
    if let [only] = actions { json!(only) } else { json!(actions) }
}

fn with_condition(mut statement: Value, needs_mfa: bool) -> Value {
    if needs_mfa && let Some(fields) = statement.as_object_mut() {
        fields.insert("Condition".to_owned(), json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}}));
    }
    statement
}
