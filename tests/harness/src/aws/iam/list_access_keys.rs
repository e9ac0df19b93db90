//! ListAccessKeys.

use super::super::dispatch::Authentic;
use super::super::error::{ApiError, xml_escape};
use super::super::reply::Reply;
use super::{reply, user};

pub(crate) fn answer(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    let (arn, name) = user(call, "iam:ListAccessKeys")?;
    let member = |id: &String| {
        format!(
            "      <member>\n        <UserName>{}</UserName>\n        <AccessKeyId>{id}</AccessKeyId>\n        \
             <Status>Active</Status>\n      </member>\n",
            xml_escape(&name)
        )
    };
    let members: String = call.world.state().identities.keys_of(arn).iter().map(member).collect();
    let result =
        format!("    <IsTruncated>false</IsTruncated>\n    <AccessKeyMetadata>\n{members}    </AccessKeyMetadata>\n");
    Ok(reply("ListAccessKeys", &result))
}
