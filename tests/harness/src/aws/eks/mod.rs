//! EKS: REST with JSON. The region of a call is that of its credential scope; the real EKS has a host for each region.

mod access_entries;
pub(crate) mod cluster_config;
mod describe_cluster;
mod list_clusters;
mod page;
mod permission;
mod policies;
mod target;

use serde_json::Value;

use super::context::SignedCall;
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;
use super::request::ParsedRequest;

/// Responds to one verified request. To add an operation, add a file here and a line below.
pub(crate) fn serve(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    match call.request.op {
        Op::DescribeCluster => describe_cluster::respond(call),
        Op::ListClusters => list_clusters::respond(call),
        Op::ListAccessEntries => access_entries::list(call),
        Op::DescribeAccessEntry => access_entries::describe(call),
        Op::CreateAccessEntry => access_entries::create(call),
        Op::UpdateAccessEntry => access_entries::update(call),
        Op::DeleteAccessEntry => access_entries::delete(call),
        Op::ListAccessPolicies => policies::list_all(call),
        Op::ListAssociatedAccessPolicies => policies::list(call),
        Op::AssociateAccessPolicy => policies::associate(call),
        Op::DisassociateAccessPolicy => policies::disassociate(call),
        Op::UpdateClusterConfig => cluster_config::update(call),
        Op::DescribeUpdate => cluster_config::describe_update(call),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded EKS does not know this operation.")),
    }
}

/// Returns what the log has of a request: the cluster, the principal, and the texts at the top of the body.
pub(crate) fn logged_parameters(request: &ParsedRequest) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let mut logged: Vec<_> = body.as_object().into_iter().flatten().filter_map(text).collect();
    let segments = request.segments();
    for (position, name) in [(1, "name"), (3, "principalArn"), (5, "policyArn")] {
        if let Some(segment) = segments.get(position) {
            logged.push((name.to_owned(), segment.clone()));
        }
    }
    logged
}

/// Returns the operation of a method and the segments of a path; `None` if the path is not one of EKS.
pub(crate) fn operation(method: &str, segments: &[&str]) -> Option<Op> {
    Some(match (method, segments) {
        ("GET", ["access-policies"]) => Op::ListAccessPolicies,
        ("GET", ["clusters"]) => Op::ListClusters,
        ("GET", ["clusters", _]) => Op::DescribeCluster,
        ("POST", ["clusters", _, "update-config"]) => Op::UpdateClusterConfig,
        ("GET", ["clusters", _, "updates", _]) => Op::DescribeUpdate,
        ("GET", ["clusters", _, "access-entries"]) => Op::ListAccessEntries,
        ("POST", ["clusters", _, "access-entries"]) => Op::CreateAccessEntry,
        ("GET", ["clusters", _, "access-entries", _]) => Op::DescribeAccessEntry,
        ("POST", ["clusters", _, "access-entries", _]) => Op::UpdateAccessEntry,
        ("DELETE", ["clusters", _, "access-entries", _]) => Op::DeleteAccessEntry,
        ("GET", ["clusters", _, "access-entries", _, "access-policies"]) => Op::ListAssociatedAccessPolicies,
        ("POST", ["clusters", _, "access-entries", _, "access-policies"]) => Op::AssociateAccessPolicy,
        ("DELETE", ["clusters", _, "access-entries", _, "access-policies", _]) => Op::DisassociateAccessPolicy,
        (_, ["clusters", ..]) => Op::Unknown,
        _ => return None,
    })
}
