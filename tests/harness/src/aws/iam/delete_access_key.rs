//! DeleteAccessKey, including the key that signs the call.

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::envelope::reply;
use super::user::calling_user;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (arn, _) = calling_user(call, "iam:DeleteAccessKey")?;
    let id = call.request.param("AccessKeyId").unwrap_or_default();
    let mut state = call.shared.state();
    if !state.identities.access_key_ids(arn).iter().any(|known| known == id) {
        let message = format!("The Access Key with id {id} cannot be found.");
        return Err(ApiError::new(404, "NoSuchEntity", message));
    }
    state.identities.remove_key(id);
    Ok(reply("DeleteAccessKey", ""))
}
