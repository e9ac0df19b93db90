//! `GET /v1/events`

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use rolecall_protocol::{ErrorBody, ErrorCode, Event};
use tokio_util::sync::CancellationToken;

use crate::agent::{AgentError, Events};
use crate::server::Context;
use crate::server::answer::{Answer, Never};

/// Lines that wait for a watcher who does not read; beyond them the stream tells that some are missing.
const LINES: usize = 16;

/// How long nothing may happen before the watcher is told that.
const QUIET: Duration = Duration::from_secs(10);

pub(super) fn answer(context: &Context) -> Result<Answer, AgentError> {
    let Ok(place) = Arc::clone(&context.watchers).try_acquire_owned() else {
        let body = ErrorBody::new(ErrorCode::Throttled, "too many follow the agent's events already");
        return Err(AgentError(body.hint("End one of them: rolecall status --watch.")));
    };
    let (lines, body) = Channel::new(LINES);
    let telling = tell(context.agent.events(), lines, context.leaving.clone());
    tokio::spawn(async move {
        telling.await;
        drop(place);
    });
    Ok(Answer::stream(body))
}

/// Writes events until the watcher or the daemon goes away.
async fn tell(mut events: Events, mut lines: Sender<Bytes, Never>, leaving: CancellationToken) {
    loop {
        let line = tokio::select! {
            () = leaving.cancelled() => return,
            event = events.next() => event.as_ref().and_then(line),
            // An empty line says nothing but that the daemon is there; and it finds out whether the watcher is.
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

fn line(event: &Event) -> Option<Bytes> {
    let mut line = serde_json::to_vec(event).ok()?;
    line.push(b'\n');
    Some(line.into())
}
