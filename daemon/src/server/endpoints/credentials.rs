//! `POST /v1/profiles/{name}/credentials`

use rolecall_protocol::ProfileName;

use crate::agent::Agent;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::audit::Client;

pub(super) async fn handle(agent: &Agent, client: &Client, name: &ProfileName) -> Result<EndpointResponse, AgentError> {
    let served = agent.credentials.credentials(name, client.client_process()).await?;
    Ok(EndpointResponse::secret(served.body, served.facts))
}
