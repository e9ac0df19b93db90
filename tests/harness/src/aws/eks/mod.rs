//! EKS: REST with JSON. The region is that of the credential scope, as it is with the real thing's regional hosts.

mod describe_cluster;
mod list_clusters;

use super::dispatch::Authentic;
use super::error::ApiError;
use super::inbound::Service;
use super::op::Op;
use super::reply::Reply;

/// Answers one believed request. A new operation is a file here and a line below.
pub(crate) fn serve(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    match call.request.op {
        Op::DescribeCluster => describe_cluster::answer(call),
        Op::ListClusters => list_clusters::answer(call),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded EKS does not know this operation.")),
    }
}

/// Refuses a caller whose policies do not allow the action on that cluster (`*` for all).
fn authorize(call: &Authentic<'_>, action: &str, cluster: &str) -> Result<(), ApiError> {
    if call.world.state().identities.may(&call.caller, action) {
        return Ok(());
    }
    let partition = call.caller.arn.split(':').nth(1).unwrap_or("aws");
    let resource = format!("arn:{partition}:eks:{}:{}:cluster/{cluster}", call.region, call.caller.account());
    Err(ApiError::denied(Service::Eks, &call.caller.arn, action, &resource))
}
