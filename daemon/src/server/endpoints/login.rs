//! `POST /v1/sources/{name}/login`

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::channel::Channel;
use rolecall_protocol::{ErrorBody, ErrorCode, LoginRequest, SourceName};
use tokio::sync::mpsc;

use super::ndjson;
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

/// Steps that are buffered for a client that does not read.
const MAX_PENDING_STEPS: usize = 16;

pub(super) fn handle(context: &Context, name: &SourceName, body: Bytes) -> Result<EndpointResponse, AgentError> {
    let request = if body.is_empty() { LoginRequest::default() } else { super::secret_json(body)? };
    let Ok(permit) = Arc::clone(&context.watchers).try_acquire_owned() else {
        let body = ErrorBody::new(ErrorCode::Throttled, "too many logins are in progress");
        return Err(AgentError(body.hint("End one of them: Ctrl-C in its terminal.")));
    };
    let (sender, steps) = mpsc::channel(MAX_PENDING_STEPS);
    let (lines, body) = Channel::new(MAX_PENDING_STEPS);
    let (service, name) = (Arc::clone(&context.agent.login), name.clone());
    // The login goes on if the client leaves: the user may have approved it in the browser.
    tokio::spawn(async move { service.login(name, request, sender).await });
    let stream = ndjson::stream(steps, lines, context.leaving.clone());
    tokio::spawn(async move {
        stream.await;
        drop(permit);
    });
    Ok(EndpointResponse::stream(body))
}
