//! `POST /v1/discover`

use std::sync::Arc;

use bytes::Bytes;
use rolecall_protocol::{DiscoverRequest, ErrorBody, ErrorCode};

use super::{Origin, ndjson};
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

pub(super) fn handle(context: &Context, origin: Origin<'_>, body: &Bytes) -> Result<EndpointResponse, AgentError> {
    let request = if body.is_empty() { DiscoverRequest::default() } else { super::parse(body)? };
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many searches are in progress");
    let busy = busy.hint("Wait until one of them has ended.");
    let service = Arc::clone(&context.agent.discover);
    ndjson::respond_with_steps(context, origin, busy, |steps| async move { service.discover(request, steps).await })
}
