//! CreateAccessKey: at most two keys for each user.

use super::super::context::SignedCall;
use super::super::error::{ApiError, xml_escape};
use super::super::reply::Reply;
use super::envelope::reply;
use super::user::calling_user;
use crate::time::rfc3339;

/// IAM's quota, which cannot be increased.
const LIMIT: usize = 2;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (arn, name) = calling_user(call, "iam:CreateAccessKey")?;
    let mut state = call.shared.state();
    if state.identities.access_key_ids(arn).len() >= LIMIT {
        let message = format!("Cannot exceed quota for AccessKeysPerUser: {LIMIT}");
        return Err(ApiError::new(409, "LimitExceeded", message));
    }
    let key = state.identities.create_key(arn);
    drop(state);
    let result = format!(
        "    <AccessKey>\n      <UserName>{}</UserName>\n      <AccessKeyId>{}</AccessKeyId>\n      \
         <Status>Active</Status>\n      <SecretAccessKey>{}</SecretAccessKey>\n      \
         <CreateDate>{}</CreateDate>\n    </AccessKey>\n",
        xml_escape(&name),
        key.id,
        xml_escape(&key.secret),
        rfc3339(call.shared.clock.now())
    );
    Ok(reply("CreateAccessKey", &result))
}
