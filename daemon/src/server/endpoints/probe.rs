//! `POST /v1/config/probe/{name}`

use bytes::Bytes;
use rolecall_protocol::ProfileName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &ProfileName, body: &Bytes) -> Result<Answer, AgentError> {
    Ok(Answer::json(&agent.probe(name, super::text(body)?).await?))
}
