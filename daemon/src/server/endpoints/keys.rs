//! `GET /v1/keys`

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent) -> Result<Answer, AgentError> {
    agent.check_unlocked()?;
    Ok(Answer::json(&agent.keys().await?))
}
