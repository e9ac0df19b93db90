//! `POST /v1/unlock`

use bytes::Bytes;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;
use crate::server::peer::Peer;

pub(super) async fn answer(agent: &Agent, peer: Peer, body: Bytes) -> Result<Answer, AgentError> {
    let request = super::secret_json(body)?;
    Ok(Answer::json(&agent.unlock(request, peer.locker()).await?))
}
