//! STS: the query protocol, XML answers.

mod assume_role;
mod assume_role_with_web_identity;
mod credentials;
mod get_caller_identity;
mod get_session_token;
mod mfa;
mod parameters;
mod validate;

use super::dispatch::{Authentic, Unsigned};
use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;

/// Answers one believed request. A new action is a file here and a line below.
pub(crate) fn serve(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    match call.request.op {
        Op::AssumeRole => assume_role::answer(call),
        Op::GetCallerIdentity => Ok(get_caller_identity::answer(call)),
        Op::GetSessionToken => get_session_token::answer(call),
        _ => Err(no_such_action(call)),
    }
}

/// Answers one request whose token is its proof.
pub(crate) fn serve_unsigned(call: &Unsigned<'_>) -> Result<Reply, ApiError> {
    assume_role_with_web_identity::answer(call)
}

fn no_such_action(call: &Authentic<'_>) -> ApiError {
    match (call.request.param("Action"), call.request.param("Version").unwrap_or_default()) {
        (Some(action), version) => {
            ApiError::new(400, "InvalidAction", format!("Could not find operation {action} for version {version}"))
        }
        (None, _) => ApiError::new(400, "MissingAction", "The request must contain the parameter Action"),
    }
}

/// The envelope of every answer of the query protocol.
fn envelope(action: &str, request_id: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <{action}Result>\n{result}  </{action}Result>\n  \
         <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
    )
}
