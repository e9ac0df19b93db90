//! `GET /v1/events`

use futures_util::stream::unfold;
use rolecall_protocol::{ErrorBody, ErrorCode};

use super::ndjson;
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

/// Lines that are buffered for a client that does not read. After more, the stream has the event `missed`.
const MAX_PENDING_LINES: usize = 16;

pub(super) fn handle(context: &Context) -> Result<EndpointResponse, AgentError> {
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many clients watch the agent's events");
    let busy = busy.hint("End one of them: rolecall status --watch.");
    let events = unfold(context.agent.events.events(), async |mut events| Some((events.next().await?, events)));
    ndjson::respond(context, events, MAX_PENDING_LINES, busy)
}
