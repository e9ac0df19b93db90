//! `POST /v1/profiles/{name}/token`

use rolecall_protocol::ProfileName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &ProfileName, exec_info: &[u8]) -> Result<Answer, AgentError> {
    Ok(Answer::secret(agent.token(name, exec_info).await?))
}
