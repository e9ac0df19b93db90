//! `POST /v1/keys/{name}/put`

use bytes::Bytes;
use rolecall_protocol::KeyName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent, name: &KeyName, body: Bytes) -> Result<Answer, AgentError> {
    let wanted = super::secret_json(body)?;
    agent.check_unlocked()?;
    Ok(Answer::json(&agent.put_key(name, wanted).await?))
}
