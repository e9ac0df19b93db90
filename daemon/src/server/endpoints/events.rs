//! `GET /v1/events`

use std::sync::Arc;

use http_body_util::channel::Channel;
use rolecall_protocol::{ErrorBody, ErrorCode};

use super::ndjson;
use crate::agent::AgentError;
use crate::server::Context;
use crate::server::answer::Answer;

/// Lines that wait for a watcher who does not read; beyond them the stream tells that some are missing.
const LINES: usize = 16;

pub(super) fn answer(context: &Context) -> Result<Answer, AgentError> {
    let Ok(place) = Arc::clone(&context.watchers).try_acquire_owned() else {
        let body = ErrorBody::new(ErrorCode::Throttled, "too many follow the agent's events already");
        return Err(AgentError(body.hint("End one of them: rolecall status --watch.")));
    };
    let (lines, body) = Channel::new(LINES);
    let telling = ndjson::tell(context.agent.events(), lines, context.leaving.clone());
    tokio::spawn(async move {
        telling.await;
        drop(place);
    });
    Ok(Answer::stream(body))
}
