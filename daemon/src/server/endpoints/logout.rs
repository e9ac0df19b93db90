//! `POST /v1/sources/{name}/logout`

use rolecall_protocol::SourceName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &SourceName) -> Result<Answer, AgentError> {
    Ok(Answer::json(&agent.logout(name).await?))
}
