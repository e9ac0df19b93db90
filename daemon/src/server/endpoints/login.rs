//! `POST /v1/sources/{name}/login`

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, LoginRequest, SourceName};
use tokio::sync::mpsc;

use super::ndjson;
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::audit::Client;

/// Steps that are buffered for a client that does not read.
const MAX_PENDING_STEPS: usize = 16;

pub(super) fn handle(
    context: &Context,
    name: &SourceName,
    body: Bytes,
    client: &Client,
) -> Result<EndpointResponse, AgentError> {
    let request = if body.is_empty() { LoginRequest::default() } else { super::secret_json(body)? };
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many logins are in progress");
    let busy = busy.hint("End one of them: Ctrl-C in its terminal.");
    let (sender, steps) = mpsc::channel(MAX_PENDING_STEPS);
    let steps = unfold(steps, async |mut steps| Some((steps.recv().await?, steps)));
    let response = ndjson::respond(context, steps, MAX_PENDING_STEPS, busy)?;
    let (agent, name) = (Arc::clone(&context.agent), name.clone());
    let audited = agent.audit.begin(&Endpoint::Login(name.clone()), client);
    // The login goes on if the client leaves: the user may have approved it in the browser.
    tokio::spawn(async move {
        let result = agent.login.login(name, request, sender).await;
        if let Some(request) = audited {
            agent.audit.decided(request, result.map(|()| None));
        }
    });
    Ok(response)
}
