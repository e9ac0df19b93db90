//! The XML envelope of every IAM response.

use super::super::reply::Reply;
use crate::random::request_id;

/// Wraps a result in the envelope of an action.
pub(super) fn reply(action: &str, result: &str) -> Reply {
    let id = request_id();
    let result =
        if result.is_empty() { String::new() } else { format!("  <{action}Result>\n{result}  </{action}Result>\n") };
    let body = format!(
        "<{action}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\n{result}  \
         <ResponseMetadata>\n    <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
    );
    Reply::xml(200, &id, body)
}
