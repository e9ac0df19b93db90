//! Access entries: list, describe, create, update, delete.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::access::AccessEntry;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::super::state::AwsState;
use super::page;
use super::permission::authorize;
use super::target::{body, cluster_with_entries, entry, invalid, segment, texts};
use crate::arn::Arn;
use crate::random::request_id;

/// The types of nodes, with their username and groups.
const NODE_TYPES: [(&str, &str, &[&str]); 6] = [
    ("EC2_LINUX", "system:node:{{EC2PrivateDNSName}}", &["system:nodes"]),
    ("EC2_WINDOWS", "system:node:{{EC2PrivateDNSName}}", &["system:nodes", "eks:kube-proxy-windows"]),
    ("EC2", "system:node:{{EC2PrivateDNSName}}", &["system:nodes"]),
    ("FARGATE_LINUX", "system:node:{{SessionName}}", &["system:nodes", "system:node-proxier"]),
    ("HYBRID_LINUX", "system:node:{{SessionName}}", &["system:nodes"]),
    ("HYPERPOD_LINUX", "system:node:{{SessionName}}", &["system:nodes"]),
];
/// The prefixes that neither a username nor a group may have.
const RESERVED: [&str; 5] = ["system:", "eks:", "aws:", "amazon:", "iam:"];

pub(crate) fn list(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = segment(call, 1);
    authorize(call, "eks:ListAccessEntries", &name)?;
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    let policy = call.request.param("associatedPolicyArn");
    let has = |entry: &&AccessEntry| policy.is_none_or(|arn| entry.policies.iter().any(|policy| policy.arn == arn));
    let entries = state.access.entries(&name, &call.region).values();
    let principals = entries.filter(has).map(|entry| entry.principal.clone()).collect();
    drop(state);
    let page = page::of(call, principals)?;
    Ok(Reply::json(200, &request_id(), &json!({ "accessEntries": page.keys, "nextToken": page.next })))
}

pub(crate) fn describe(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:DescribeAccessEntry", &name)?;
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    Ok(shown(entry(call, &mut state, &name, &principal)?, &name))
}

pub(crate) fn create(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = segment(call, 1);
    authorize(call, "eks:CreateAccessEntry", &name)?;
    let body = body(call)?;
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    let cluster = cluster_with_entries(call, &mut state, &name)?;
    let principal = body["principalArn"].as_str().unwrap_or_default();
    let id = principal_id(&state, principal)?;
    let token = body["clientRequestToken"].as_str().unwrap_or_default();
    if let Some(known) = state.access.entries(&name, &call.region).get(principal) {
        // A request with the token of the first one is a retry of it.
        if !token.is_empty() && known.request_token == token {
            return Ok(shown(known, &name));
        }
        let message = "The specified access entry resource is already in use on this cluster.";
        return Err(ApiError::new(409, "ResourceInUseException", message));
    }
    let mut new = AccessEntry::new(&cluster.arn(), principal, Some(id), now);
    token.clone_into(&mut new.request_token);
    set_kind(&mut new, &cluster.account, &body)?;
    set_user(&mut new, &body)?;
    if let Some(tags) = body["tags"].as_object() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        new.tags = tags.iter().map(|(key, value)| (key.clone(), text(value))).collect::<BTreeMap<_, _>>();
    }
    let reply = shown(&new, &name);
    state.access.entries(&name, &call.region).insert(principal.to_owned(), new);
    Ok(reply)
}

pub(crate) fn update(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:UpdateAccessEntry", &name)?;
    let body = body(call)?;
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    let known = entry(call, &mut state, &name, &principal)?;
    let mut changed = known.clone();
    set_user(&mut changed, &body)?;
    changed.modified = now;
    *known = changed;
    Ok(shown(known, &name))
}

pub(crate) fn delete(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:DeleteAccessEntry", &name)?;
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    entry(call, &mut state, &name, &principal)?;
    state.access.entries(&name, &call.region).remove(&principal);
    Ok(Reply::json(200, &request_id(), &json!({})))
}

fn shown(entry: &AccessEntry, cluster: &str) -> Reply {
    Reply::json(200, &request_id(), &json!({ "accessEntry": entry.json(cluster) }))
}

/// Returns the unique id of a role or user, which must exist. An ARN without the role's path is another ARN.
fn principal_id(state: &AwsState, principal: &str) -> Result<String, ApiError> {
    let parsed = Arn::parse(principal).filter(|arn| arn.service == "iam");
    let found = parsed.and_then(|arn| match arn.kind() {
        "role" => state.identities.role(principal).map(|role| role.id.clone()),
        "user" => state.identities.user(principal).map(|user| user.user_id),
        _ => None,
    });
    found.ok_or_else(|| invalid("The specified principalArn is invalid: invalid principal."))
}

/// Sets the type. Nodes have a role of the cluster's own account, and a username and groups of their own.
fn set_kind(entry: &mut AccessEntry, account: &str, body: &Value) -> Result<(), ApiError> {
    let Some(kind) = body["type"].as_str().filter(|kind| *kind != "STANDARD") else { return Ok(()) };
    let Some((_, username, groups)) = NODE_TYPES.iter().find(|(name, ..)| *name == kind) else {
        return Err(invalid(format!("The specified access entry type {kind} is invalid.")));
    };
    let is_own_role = Arn::parse(&entry.principal).is_some_and(|arn| arn.kind() == "role" && arn.account == account);
    if !is_own_role {
        return Err(invalid(format!(
            "The principal of an access entry of type {kind} must be a role of this account."
        )));
    }
    kind.clone_into(&mut entry.kind);
    (*username).clone_into(&mut entry.username);
    entry.groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Ok(())
}

/// Sets username and groups, if the body has them.
fn set_user(entry: &mut AccessEntry, body: &Value) -> Result<(), ApiError> {
    let (username, groups) = (body["username"].as_str(), texts(body, "kubernetesGroups")?);
    if entry.kind != "STANDARD" && (username.is_some() || groups.as_ref().is_some_and(|groups| !groups.is_empty())) {
        return Err(invalid(format!(
            "Username and kubernetesGroups cannot be specified for access entries of type {}.",
            entry.kind
        )));
    }
    if let Some(username) = username {
        if let Some(prefix) = RESERVED.iter().find(|prefix| username.starts_with(**prefix)) {
            return Err(invalid(format!("The username must not begin with {prefix}")));
        }
        username.clone_into(&mut entry.username);
    }
    for group in groups.iter().flatten() {
        if let Some(prefix) = RESERVED.iter().find(|prefix| group.starts_with(**prefix)) {
            let message = format!("The kubernetes group name {group} is invalid, it cannot start with {prefix}");
            return Err(invalid(message));
        }
        if group.trim().is_empty() {
            return Err(invalid("The kubernetes group name must not be empty."));
        }
    }
    if entry.kind == "STANDARD"
        && let Some(groups) = groups
    {
        entry.groups = groups;
    }
    Ok(())
}

/// Returns whether EKS allows access policies on an entry of this type.
pub(super) fn takes_policies(kind: &str) -> bool {
    matches!(kind, "STANDARD" | "EC2")
}
