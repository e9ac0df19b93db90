//! `POST /v1/sources/{name}/login`

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::channel::Channel;
use rolecall_protocol::{ErrorBody, ErrorCode, LoginRequest, SourceName};
use tokio::sync::mpsc;

use super::ndjson;
use crate::agent::AgentError;
use crate::server::Context;
use crate::server::answer::Answer;

/// Steps that wait for somebody who does not read.
const STEPS: usize = 16;

pub(super) fn answer(context: &Context, name: &SourceName, body: Bytes) -> Result<Answer, AgentError> {
    let request = if body.is_empty() { LoginRequest::default() } else { super::secret_json(body)? };
    let Ok(place) = Arc::clone(&context.watchers).try_acquire_owned() else {
        let body = ErrorBody::new(ErrorCode::Throttled, "too many logins are under way already");
        return Err(AgentError(body.hint("End one of them: Ctrl-C in its terminal.")));
    };
    let (tell, steps) = mpsc::channel(STEPS);
    let (sender, body) = Channel::new(STEPS);
    // It goes on without whoever asked: a person may have approved already.
    tokio::spawn(Arc::clone(&context.agent).login(name.clone(), request, tell));
    let telling = ndjson::tell(steps, sender, context.leaving.clone());
    tokio::spawn(async move {
        telling.await;
        drop(place);
    });
    Ok(Answer::stream(body))
}
