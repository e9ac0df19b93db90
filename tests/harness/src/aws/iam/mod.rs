//! IAM: the query protocol, XML answers. A user's own access keys alone.

mod create_access_key;
mod delete_access_key;
mod list_access_keys;

use super::dispatch::Authentic;
use super::error::ApiError;
use super::inbound::Service;
use super::op::Op;
use super::reply::Reply;
use crate::arn::Arn;
use crate::random::request_id;

/// Answers one believed request. A new action is a file here and a line below.
pub(crate) fn serve(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    // IAM is one service for the whole partition, and wants that region in the scope.
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
        Op::CreateAccessKey => create_access_key::answer(call),
        Op::DeleteAccessKey => delete_access_key::answer(call),
        _ => list_access_keys::answer(call),
    }
}

/// The user whose keys sign, if it may do this; nobody's keys but one's own are served here.
fn user<'a>(call: &'a Authentic<'_>, action: &str) -> Result<(&'a str, String), ApiError> {
    let caller = &call.caller;
    if caller.role_arn.is_some() {
        let message = "Must specify userName when calling with non-User credentials";
        return Err(ApiError::new(400, "ValidationError", message));
    }
    let name = caller.arn.rsplit('/').next().unwrap_or_default().to_owned();
    if !call.world.state().identities.may(caller, action) {
        return Err(ApiError::denied(Service::Iam, &caller.arn, action, &format!("user {name}")));
    }
    match call.request.param("UserName") {
        Some(other) if other != name => {
            let message = format!("The user with name {other} cannot be found.");
            Err(ApiError::new(404, "NoSuchEntity", message))
        }
        _ => Ok((&caller.arn, name)),
    }
}

/// The envelope of every answer.
fn reply(action: &str, result: &str) -> Reply {
    let id = request_id();
    let result =
        if result.is_empty() { String::new() } else { format!("  <{action}Result>\n{result}  </{action}Result>\n") };
    let body = format!(
        "<{action}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\n{result}  \
         <ResponseMetadata>\n    <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
    );
    Reply::xml(200, &id, body)
}
