//! ListAccessKeys.

use super::super::context::SignedCall;
use super::super::error::{ApiError, xml_escape};
use super::super::reply::Reply;
use super::envelope::reply;
use super::user::calling_user;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (arn, name) = calling_user(call, "iam:ListAccessKeys")?;
    let member = |id: &String| {
        format!(
            "      <member>\n        <UserName>{}</UserName>\n        <AccessKeyId>{id}</AccessKeyId>\n        \
             <Status>Active</Status>\n      </member>\n",
            xml_escape(&name)
        )
    };
    let members: String = call.shared.state().identities.access_key_ids(arn).iter().map(member).collect();
    let result =
        format!("    <IsTruncated>false</IsTruncated>\n    <AccessKeyMetadata>\n{members}    </AccessKeyMetadata>\n");
    Ok(reply("ListAccessKeys", &result))
}
