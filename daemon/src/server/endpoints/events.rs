//! `GET /v1/events`

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use rolecall_protocol::Event;
use tokio_util::sync::CancellationToken;

use crate::agent::Events;
use crate::server::Context;
use crate::server::answer::{Answer, Never};

/// Lines that wait for a watcher who does not read; beyond them the stream tells that some are missing.
const LINES: usize = 16;

pub(super) fn answer(context: &Context) -> Answer {
    let (lines, body) = Channel::new(LINES);
    tokio::spawn(tell(context.agent.events(), lines, context.leaving.clone()));
    Answer::stream(body)
}

/// Writes events until the watcher or the daemon goes away.
async fn tell(mut events: Events, mut lines: Sender<Bytes, Never>, leaving: CancellationToken) {
    loop {
        let event = tokio::select! {
            () = leaving.cancelled() => return,
            event = events.next() => event,
        };
        let Some(line) = event.as_ref().and_then(line) else { return };
        let gone = tokio::select! {
            () = leaving.cancelled() => return,
            sent = lines.send_data(line) => sent.is_err(),
        };
        if gone {
            return;
        }
    }
}

fn line(event: &Event) -> Option<Bytes> {
    let mut line = serde_json::to_vec(event).ok()?;
    line.push(b'\n');
    Some(line.into())
}
