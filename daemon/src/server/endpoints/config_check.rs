//! `POST /v1/config/check`

use bytes::Bytes;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, body: &Bytes) -> Result<Answer, AgentError> {
    Ok(Answer::json(&agent.check(super::text(body)?).await?))
}
