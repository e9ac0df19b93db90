//! `POST /v1/keys/{name}/rotate`

use std::sync::Arc;

use rolecall_protocol::KeyName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Arc<Agent>, name: &KeyName) -> Result<Answer, AgentError> {
    agent.check_unlocked()?;
    Ok(Answer::json(&agent.rotate_key(name).await?))
}
