//! `GET /v1/events`

use std::sync::Arc;

use http_body_util::channel::Channel;
use rolecall_protocol::{ErrorBody, ErrorCode};

use super::ndjson;
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

/// Lines that are buffered for a client that does not read. After more, the stream has the event `missed`.
const MAX_PENDING_LINES: usize = 16;

pub(super) fn handle(context: &Context) -> Result<EndpointResponse, AgentError> {
    let Ok(permit) = Arc::clone(&context.watchers).try_acquire_owned() else {
        let body = ErrorBody::new(ErrorCode::Throttled, "too many clients watch the agent's events");
        return Err(AgentError(body.hint("End one of them: rolecall status --watch.")));
    };
    let (lines, body) = Channel::new(MAX_PENDING_LINES);
    let stream = ndjson::stream(context.agent.events.events(), lines, context.leaving.clone());
    tokio::spawn(async move {
        stream.await;
        drop(permit);
    });
    Ok(EndpointResponse::stream(body))
}
