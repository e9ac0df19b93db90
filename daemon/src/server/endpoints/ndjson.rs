//! Responses of many lines (NDJSON): one JSON document a line, and an empty line when nothing happens for a while.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use http_body_util::channel::{self, Channel};
use rolecall_protocol::{ErrorBody, ErrorCode};
use serde::Serialize;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::timeout;

use super::Origin;
use crate::server::Context;
use crate::server::response::{EndpointResponse, Never};
use crate::services::AgentError;

/// How long nothing is sent before an empty line follows. It shows the client that the daemon runs, and the daemon whether the
/// client is connected.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Steps that are buffered for a client that does not read.
const MAX_PENDING_STEPS: usize = 16;

/// Returns a response with a line for each document, until there are no more, the client disconnects, or the daemon stops.
/// `pending` lines are buffered for a client that does not read. Errors with `busy` if too many clients have one already.
pub(super) fn respond<D: Serialize + Send>(
    context: &Context,
    documents: impl Stream<Item = D> + Send + 'static,
    pending: usize,
    busy: ErrorBody,
) -> Result<EndpointResponse, AgentError> {
    let permit = Arc::clone(&context.watchers).try_acquire_owned().map_err(|_| AgentError(busy))?;
    let (lines, body) = Channel::new(pending);
    let leaving = context.leaving.clone();
    tokio::spawn(async move {
        leaving.run_until_cancelled(send(documents, lines)).await;
        drop(permit);
    });
    Ok(EndpointResponse::stream(body))
}

/// Starts a request that reports its steps, and returns a response with a line for each. The request goes on if the client leaves:
/// half of it would be worse than all of it, and the user may have taken part already. Its result is recorded in the audit log.
/// Errors with `busy` as [`respond`] does.
pub(super) fn respond_with_steps<S, F>(
    context: &Context,
    Origin { endpoint, client, memory }: Origin<'_>,
    busy: ErrorBody,
    run: impl FnOnce(Sender<S>) -> F,
) -> Result<EndpointResponse, AgentError>
where
    S: Serialize + Send + 'static,
    F: Future<Output = Result<(), ErrorCode>> + Send + 'static,
{
    let (sender, steps) = mpsc::channel(MAX_PENDING_STEPS);
    let steps = unfold(steps, async |mut steps| Some((steps.recv().await?, steps)));
    let response = respond(context, steps, MAX_PENDING_STEPS, busy)?;
    let agent = Arc::clone(&context.agent);
    let audited = agent.audit.begin(endpoint, client);
    let request = run(sender);
    tokio::spawn(async move {
        let result = request.await;
        drop(memory);
        if let Some(request) = audited {
            agent.audit.decided(request, result.map(|()| None));
        }
    });
    Ok(response)
}

async fn send(documents: impl Stream<Item = impl Serialize>, mut lines: channel::Sender<Bytes, Never>) {
    let mut documents = pin!(documents);
    loop {
        let line = match timeout(KEEPALIVE_INTERVAL, documents.next()).await {
            Ok(document) => document.as_ref().and_then(to_line),
            Err(_) => Some(Bytes::from_static(b"\n")),
        };
        let Some(line) = line else { return };
        if lines.send_data(line).await.is_err() {
            return; // the client has disconnected
        }
    }
}

fn to_line(document: &impl Serialize) -> Option<Bytes> {
    let mut line = serde_json::to_vec(document).ok()?;
    line.push(b'\n');
    Some(line.into())
}
