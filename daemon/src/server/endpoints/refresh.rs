//! `POST /v1/profiles/{name}/refresh`

use rolecall_protocol::ProfileName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &ProfileName) -> Result<Answer, AgentError> {
    Ok(Answer::json(&agent.refresh(name).await?))
}
