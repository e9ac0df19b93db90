//! IAM: the query protocol with XML responses: the caller's own access keys, and the roles and users of its account.

mod create_access_key;
mod delete_access_key;
mod envelope;
mod list_access_keys;
mod principal;
mod user;

use super::context::SignedCall;
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;
use crate::arn::Arn;

/// Responds to one verified request. To add an action, add a file here and a line below.
pub(crate) fn serve(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    // IAM is one service for a whole partition and requires its region in the scope.
    let home = match Arn::parse(&call.caller.arn).map(|arn| arn.partition) {
        Some(partition) if partition == "aws-cn" => "cn-north-1",
        Some(partition) if partition == "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    };
    if call.region != home {
        let message = format!("Credential should be scoped to a valid region, not '{}'. ", call.region);
        return Err(ApiError::new(403, "SignatureDoesNotMatch", message));
    }
    match call.request.op {
        Op::CreateAccessKey => create_access_key::respond(call),
        Op::DeleteAccessKey => delete_access_key::respond(call),
        Op::GetRole => principal::get_role(call),
        Op::GetUser => principal::get_user(call),
        Op::ListRoles => principal::list_roles(call),
        _ => list_access_keys::respond(call),
    }
}
