//! Responses of many lines (NDJSON): one JSON document a line, and an empty line when nothing happens for a while.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Sender;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::server::response::Never;
use crate::services::events::Events;

/// How long nothing is sent before an empty line follows. It shows the client that the daemon runs, and the daemon whether the
/// client is connected.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A source of documents.
pub(super) trait Documents {
    /// One document.
    type Document: Serialize;

    /// Returns the next document, or `None` after the last.
    async fn next(&mut self) -> Option<Self::Document>;
}

impl Documents for Events {
    type Document = rolecall_protocol::Event;

    async fn next(&mut self) -> Option<Self::Document> {
        Self::next(self).await
    }
}

impl<T: Serialize> Documents for Receiver<T> {
    type Document = T;

    async fn next(&mut self) -> Option<T> {
        self.recv().await
    }
}

/// Sends documents until there are no more, the client disconnects, or the daemon stops.
pub(super) async fn stream(mut documents: impl Documents, mut body: Sender<Bytes, Never>, leaving: CancellationToken) {
    loop {
        let line = tokio::select! {
            () = leaving.cancelled() => return,
            document = documents.next() => document.as_ref().and_then(to_line),
            () = tokio::time::sleep(KEEPALIVE_INTERVAL) => Some(Bytes::from_static(b"\n")),
        };
        let Some(line) = line else { return };
        let is_disconnected = tokio::select! {
            () = leaving.cancelled() => return,
            sent = body.send_data(line) => sent.is_err(),
        };
        if is_disconnected {
            return;
        }
    }
}

fn to_line(document: &impl Serialize) -> Option<Bytes> {
    let mut line = serde_json::to_vec(document).ok()?;
    line.push(b'\n');
    Some(line.into())
}
