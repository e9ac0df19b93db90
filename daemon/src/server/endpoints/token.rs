//! `POST /v1/profiles/{name}/token`

use rolecall_protocol::ProfileName;

use crate::agent::{Agent, AgentError};
use crate::server::answer::Answer;
use crate::server::peer::Peer;

pub(super) async fn answer(
    agent: &Agent,
    peer: Peer,
    name: &ProfileName,
    exec_info: &[u8],
) -> Result<Answer, AgentError> {
    // Clients of Kubernetes say something, and the most common, client-go, asks again only because it was refused. A script
    // that asks twice says nothing, and wants two tokens.
    let client_process = if exec_info.is_empty() { None } else { peer.client_process() };
    Ok(Answer::secret(agent.token(name, exec_info, client_process).await?))
}
