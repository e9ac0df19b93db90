//! Access policies: the list of EKS, and the policies of access entries.

use serde_json::{Value, json};

use super::super::access::AssociatedPolicy;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::access_entries::takes_policies;
use super::page;
use super::permission::authorize;
use super::target::{body, cluster_with_entries, entry, invalid, segment, texts};
use crate::random::request_id;

/// Policies of EKS (user guide, "Review access policy permissions"). The real list has more for other services.
pub(super) const ALL: [&str; 9] = [
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSAutoNodePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSNetworkingPolicy",
    "AmazonEKSViewPolicy",
];

pub(crate) fn list_all(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    authorize(call, "eks:ListAccessPolicies", "*")?;
    let page = page::of(call, ALL.iter().map(|name| (*name).to_owned()).collect())?;
    let policies: Vec<Value> =
        page.keys.iter().map(|name| json!({ "name": name, "arn": format!("{}{name}", prefix(call)) })).collect();
    Ok(Reply::json(200, &request_id(), &json!({ "accessPolicies": policies, "nextToken": page.next })))
}

pub(crate) fn list(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:ListAssociatedAccessPolicies", &name)?;
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    let policies = entry(call, &mut state, &name, &principal)?.policies.clone();
    drop(state);
    let page = page::of(call, policies.iter().map(|policy| policy.arn.clone()).collect())?;
    let shown: Vec<Value> =
        policies.iter().filter(|policy| page.keys.contains(&policy.arn)).map(AssociatedPolicy::json).collect();
    let response = json!({
        "clusterName": name, "principalArn": principal, "associatedAccessPolicies": shown, "nextToken": page.next,
    });
    Ok(Reply::json(200, &request_id(), &response))
}

pub(crate) fn associate(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:AssociateAccessPolicy", &name)?;
    let body = body(call)?;
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    let entry = entry(call, &mut state, &name, &principal)?;
    if !takes_policies(&entry.kind) {
        let message = format!("Access policies cannot be associated with access entries of type {}.", entry.kind);
        return Err(ApiError::new(400, "InvalidRequestException", message));
    }
    let arn = body["policyArn"].as_str().unwrap_or_default();
    check_policy(call, arn)?;
    let namespaces = scope(&body)?;
    let known = entry.policies.iter().find(|policy| policy.arn == arn).map(|policy| policy.associated);
    let policy = AssociatedPolicy { arn: arn.to_owned(), namespaces, associated: known.unwrap_or(now), modified: now };
    let response = json!({ "clusterName": name, "principalArn": principal, "associatedAccessPolicy": policy.json() });
    entry.policies.retain(|policy| policy.arn != arn);
    entry.policies.push(policy);
    Ok(Reply::json(200, &request_id(), &response))
}

pub(crate) fn disassociate(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, principal, arn) = (segment(call, 1), segment(call, 3), segment(call, 5));
    authorize(call, "eks:DisassociateAccessPolicy", &name)?;
    let mut state = call.shared.state();
    cluster_with_entries(call, &mut state, &name)?;
    let entry = entry(call, &mut state, &name, &principal)?;
    let before = entry.policies.len();
    entry.policies.retain(|policy| policy.arn != arn);
    if entry.policies.len() == before {
        let message = "The specified policyArn could not be found. You can view the associated access policies with \
                       'list-associated-access-policies'.";
        return Err(ApiError::new(404, "ResourceNotFoundException", message));
    }
    Ok(Reply::json(200, &request_id(), &json!({})))
}

fn prefix(call: &SignedCall<'_>) -> String {
    let partition = call.caller.arn.split(':').nth(1).unwrap_or("aws");
    format!("arn:{partition}:eks::aws:cluster-access-policy/")
}

fn check_policy(call: &SignedCall<'_>, arn: &str) -> Result<(), ApiError> {
    let Some(name) = arn.strip_prefix(&prefix(call)) else {
        return Err(invalid("The policyArn parameter format is not valid"));
    };
    if ALL.contains(&name) {
        return Ok(());
    }
    let message = "The specified policyArn could not be found. You can view the available access policies with \
                   'list-access-policies'.";
    Err(ApiError::new(404, "ResourceNotFoundException", message))
}

/// Returns the namespaces of the scope; `None` for the whole cluster.
fn scope(body: &Value) -> Result<Option<Vec<String>>, ApiError> {
    let scope = &body["accessScope"];
    let namespaces = texts(scope, "namespaces")?.unwrap_or_default();
    match scope["type"].as_str() {
        Some("cluster") if namespaces.is_empty() => Ok(None),
        Some("cluster") => Err(invalid("Namespaces must not be specified for the access scope type cluster.")),
        Some("namespace") if namespaces.is_empty() => {
            Err(invalid("Namespaces must be specified for the access scope type namespace."))
        }
        Some("namespace") => match namespaces.iter().find(|name| !is_pattern(name)) {
            Some(name) => Err(invalid(format!("The namespace {name} is invalid."))),
            None => Ok(Some(namespaces)),
        },
        _ => Err(invalid("The access scope type must be one of [cluster, namespace].")),
    }
}

/// Returns whether this is the name of a namespace, with `*` as a wildcard.
fn is_pattern(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*');
    (1..=63).contains(&name.len()) && name.bytes().all(is_allowed)
}
