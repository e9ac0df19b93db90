//! `POST /v1/profiles/{name}/access/{grant, revoke, restore, migrate, recover}`

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use rolecall_protocol::{AccessStep, Endpoint, ErrorBody, ErrorCode, ProfileName};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, Sender};

use super::ndjson;
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::access::AccessService;
use crate::services::audit::Client;

/// Steps that are buffered for a client that does not read.
const MAX_PENDING_STEPS: usize = 16;

/// Plans or makes a change with the service function of the endpoint's name, and sends its steps.
pub(super) fn change<R, F>(
    context: &Context,
    (endpoint, client): (&Endpoint, &Client),
    name: &ProfileName,
    body: &Bytes,
    make: impl FnOnce(Arc<AccessService>, ProfileName, R, Sender<AccessStep>) -> F,
) -> Result<EndpointResponse, AgentError>
where
    R: DeserializeOwned,
    F: Future<Output = Result<(), ErrorCode>> + Send + 'static,
{
    let request = super::parse(body)?;
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many changes of access are in progress");
    let busy = busy.hint("Wait until one of them has ended.");
    let (sender, steps) = mpsc::channel(MAX_PENDING_STEPS);
    let steps = unfold(steps, async |mut steps| Some((steps.recv().await?, steps)));
    let response = ndjson::respond(context, steps, MAX_PENDING_STEPS, busy)?;
    // A change that has begun goes on if the client leaves: half of it would be worse than all of it.
    let agent = Arc::clone(&context.agent);
    let audited = agent.audit.begin(endpoint, client);
    let change = make(Arc::clone(&agent.access), name.clone(), request, sender);
    tokio::spawn(async move {
        let result = change.await;
        if let Some(request) = audited {
            agent.audit.decided(request, result.map(|()| None));
        }
    });
    Ok(response)
}
