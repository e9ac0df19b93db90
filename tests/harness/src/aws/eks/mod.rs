//! EKS: REST with JSON. The region is that of the credential scope, as it is with the real thing's regional hosts.

mod describe_cluster;
mod list_clusters;
mod permission;

use super::context::SignedCall;
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;

/// Answers one believed request. A new operation is a file here and a line below.
pub(crate) fn serve(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    match call.request.op {
        Op::DescribeCluster => describe_cluster::answer(call),
        Op::ListClusters => list_clusters::answer(call),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded EKS does not know this operation.")),
    }
}
