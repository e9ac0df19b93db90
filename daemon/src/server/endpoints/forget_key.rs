//! `POST /v1/keys/{name}/forget`

use rolecall_protocol::KeyName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &KeyName) -> Result<Answer, AgentError> {
    agent.check_unlocked()?;
    Ok(Answer::json(&agent.forget_key(name).await?))
}
