//! DeleteAccessKey: also of the key that signs.

use super::super::dispatch::Authentic;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::{reply, user};

pub(crate) fn answer(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    let (arn, _) = user(call, "iam:DeleteAccessKey")?;
    let id = call.request.param("AccessKeyId").unwrap_or_default();
    let mut state = call.world.state();
    if !state.identities.keys_of(arn).iter().any(|known| known == id) {
        let message = format!("The Access Key with id {id} cannot be found.");
        return Err(ApiError::new(404, "NoSuchEntity", message));
    }
    state.identities.remove_key(id);
    Ok(reply("DeleteAccessKey", ""))
}
