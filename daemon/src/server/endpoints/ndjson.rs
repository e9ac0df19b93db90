//! Answers of many lines: one JSON document each, and an empty one where nothing happens for a while.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Sender;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::agent::Events;
use crate::server::answer::Never;

/// How long nothing may happen before whoever listens is told that.
const QUIET: Duration = Duration::from_secs(10);

/// Where the lines come from.
pub(super) trait Lines {
    /// What stands on one.
    type Line: Serialize;

    /// The next; `None` after the last.
    async fn next(&mut self) -> Option<Self::Line>;
}

impl Lines for Events {
    type Line = rolecall_protocol::Event;

    async fn next(&mut self) -> Option<Self::Line> {
        Self::next(self).await
    }
}

impl<T: Serialize> Lines for Receiver<T> {
    type Line = T;

    async fn next(&mut self) -> Option<T> {
        self.recv().await
    }
}

/// Writes lines until there are no more, or the listener or the daemon goes away.
pub(super) async fn tell(mut from: impl Lines, mut lines: Sender<Bytes, Never>, leaving: CancellationToken) {
    loop {
        let line = tokio::select! {
            () = leaving.cancelled() => return,
            said = from.next() => said.as_ref().and_then(line),
            // An empty line says nothing but that the daemon is there; and it finds out whether the listener is.
            () = tokio::time::sleep(QUIET) => Some(Bytes::from_static(b"\n")),
        };
        let Some(line) = line else { return };
        let gone = tokio::select! {
            () = leaving.cancelled() => return,
            sent = lines.send_data(line) => sent.is_err(),
        };
        if gone {
            return;
        }
    }
}

fn line(said: &impl Serialize) -> Option<Bytes> {
    let mut line = serde_json::to_vec(said).ok()?;
    line.push(b'\n');
    Some(line.into())
}
