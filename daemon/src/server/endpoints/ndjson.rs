//! Responses of many lines (NDJSON): one JSON document a line, and an empty line when nothing happens for a while.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::channel::{Channel, Sender};
use rolecall_protocol::ErrorBody;
use serde::Serialize;
use tokio::time::timeout;

use crate::server::Context;
use crate::server::response::{EndpointResponse, Never};
use crate::services::AgentError;

/// How long nothing is sent before an empty line follows. It shows the client that the daemon runs, and the daemon whether the
/// client is connected.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

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

async fn send(documents: impl Stream<Item = impl Serialize>, mut lines: Sender<Bytes, Never>) {
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
