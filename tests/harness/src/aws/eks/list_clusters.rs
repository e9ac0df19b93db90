//! ListClusters, with paging.

use serde_json::json;

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::page;
use super::permission::authorize;
use crate::random::request_id;

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    authorize(call, "eks:ListClusters", "*")?;
    let account = call.caller.account();
    let state = call.shared.state();
    let owned = state.clusters.iter().filter(|cluster| cluster.region == call.region && cluster.account == account);
    let names = owned.map(|cluster| cluster.name.clone()).collect();
    drop(state);
    let page = page::of(call, names)?;
    Ok(Reply::json(200, &request_id(), &json!({ "clusters": page.keys, "nextToken": page.next })))
}
