//! `POST /v1/profiles/{name}/token`

use rolecall_protocol::ProfileName;

use crate::agent::Agent;
use crate::server::peer::Peer;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

pub(super) async fn handle(
    agent: &Agent,
    peer: Peer,
    name: &ProfileName,
    exec_info: &[u8],
) -> Result<EndpointResponse, AgentError> {
    // Clients of Kubernetes send an ExecInfo, and client-go asks again only after a 401. A script sends none: if it asks twice,
    // it wants two tokens.
    let client = if exec_info.is_empty() { None } else { peer.client_process() };
    Ok(EndpointResponse::secret(agent.token.token(name, exec_info, client).await?))
}
