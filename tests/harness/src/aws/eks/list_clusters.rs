//! ListClusters, with paging.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::permission::authorize;
use crate::random::request_id;

/// Maximum and default of `maxResults`.
const PAGE: usize = 100;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    authorize(call, "eks:ListClusters", "*")?;
    let page = page_size(call)?;
    let after = call.request.param("nextToken").map(read_token).transpose()?;
    let account = call.caller.account();
    let state = call.shared.state();
    let owned = state.clusters.iter().filter(|cluster| cluster.region == call.region && cluster.account == account);
    let mut names: Vec<&str> = owned.map(|cluster| cluster.name.as_str()).collect();
    names.sort_unstable();
    names.retain(|name| after.as_deref().is_none_or(|after| *name > after));
    let more = names.len() > page;
    names.truncate(page);
    let next = names.last().filter(|_| more).map(|last| write_token(last));
    Ok(Reply::json(200, &request_id(), &json!({ "clusters": names, "nextToken": next })))
}

fn page_size(call: &SignedCall<'_>) -> Result<usize, ApiError> {
    let Some(text) = call.request.param("maxResults") else { return Ok(PAGE) };
    let size = text.parse().ok().filter(|size| (1..=PAGE).contains(size));
    size.ok_or_else(|| {
        ApiError::new(400, "InvalidParameterException", format!("maxResults must be between 1 and {PAGE}."))
    })
}

/// Returns a token with the last name of a page; callers treat it as opaque.
fn write_token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("after:{last}"))
}

fn read_token(token: &str) -> Result<String, ApiError> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let after = text.and_then(|text| text.strip_prefix("after:").map(str::to_owned));
    after.ok_or_else(|| ApiError::new(400, "InvalidParameterException", "The specified nextToken is not valid."))
}
