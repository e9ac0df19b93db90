//! `POST /v1/lock`

use bytes::Bytes;
use rolecall_protocol::LockRequest;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;
use crate::server::peer::Peer;

pub(super) async fn answer(agent: &Agent, peer: Peer, body: Bytes) -> Result<Answer, AgentError> {
    let request = if body.is_empty() { LockRequest::default() } else { super::secret_json(body)? };
    Ok(Answer::json(&agent.lock(request, peer.locker()).await?))
}
