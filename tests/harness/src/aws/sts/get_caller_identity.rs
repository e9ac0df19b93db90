//! GetCallerIdentity: signed in headers, or presigned as in an EKS token. It needs no permission.

use super::super::context::SignedCall;
use super::super::error::xml_escape;
use super::super::reply::Reply;
use super::xml::envelope;
use crate::random::request_id;

pub(crate) fn respond(call: &SignedCall<'_>) -> Reply {
    let (arn, user_id, account) = (&call.caller.arn, &call.caller.user_id, call.caller.account());
    let id = request_id();
    if call.request.wants_json() {
        let result = serde_json::json!({ "Account": account, "Arn": arn, "UserId": user_id });
        let metadata = serde_json::json!({ "RequestId": id });
        let response = serde_json::json!({ "GetCallerIdentityResult": result, "ResponseMetadata": metadata });
        return Reply::json(200, &id, &serde_json::json!({ "GetCallerIdentityResponse": response }));
    }
    let element = |name: &str, text: &str| format!("    <{name}>{}</{name}>\n", xml_escape(text));
    let result = [element("Arn", arn), element("UserId", user_id), element("Account", &account)].concat();
    Reply::xml(200, &id, envelope("GetCallerIdentity", &id, &result))
}
