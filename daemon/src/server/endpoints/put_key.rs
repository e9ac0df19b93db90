//! `POST /v1/keys/{name}/put`

use bytes::Bytes;
use rolecall_protocol::{ErrorBody, ErrorCode, KeyName};

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &KeyName, body: &Bytes) -> Result<Answer, AgentError> {
    // What is wrong with it is not told: it would quote what stands there.
    let wanted = serde_json::from_slice(body)
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::BadRequest, "these are no keys as the protocol has them")))?;
    agent.check_unlocked()?;
    Ok(Answer::json(&agent.put_key(name, wanted).await?))
}
