//! EKS: REST with JSON. The region of a call is that of its credential scope; the real EKS has a host for each region.

mod describe_cluster;
mod list_clusters;
mod permission;

use super::context::SignedCall;
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;

/// Responds to one verified request. To add an operation, add a file here and a line below.
pub(crate) fn serve(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    match call.request.op {
        Op::DescribeCluster => describe_cluster::respond(call),
        Op::ListClusters => list_clusters::respond(call),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded EKS does not know this operation.")),
    }
}
