//! `GET /v1/profiles/{name}`

use rolecall_protocol::ProfileName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) fn answer(agent: &Agent, name: &ProfileName) -> Result<Answer, AgentError> {
    Ok(Answer::json(&agent.details(name)?))
}
