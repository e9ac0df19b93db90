//! One handler for each endpoint. A handler that only calls the service function of its name stands here; one that does more
//! has a file.

mod access;
mod credentials;
mod discover;
mod doctor;
mod events;
mod login;
mod ndjson;
mod restart;
pub(super) mod token;

use bytes::Bytes;
use rolecall_protocol::{Endpoint, EntryProof, ErrorBody, ErrorCode, LockRequest, Secret, Stopping};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::Context;
use super::body::Body;
use super::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::access::{AccessService, lint};
use crate::services::audit::Client;

/// Where a request with a streamed result comes from.
struct Origin<'a> {
    endpoint: &'a Endpoint,
    client: &'a Client,
    /// Held until the end of the request.
    memory: Option<OwnedSemaphorePermit>,
}

/// Calls the handler of an endpoint.
pub(super) async fn handle(
    context: &Context,
    client: &Client,
    endpoint: &Endpoint,
    proof: &EntryProof,
    body: Body,
) -> Result<EndpointResponse, AgentError> {
    let (agent, Body { bytes: body, memory }) = (&context.agent, body);
    let origin = Origin { endpoint, client, memory };
    if let Some(name) = endpoint.cluster_access_profile() {
        agent.constraints.check_request(name, client.client_process()).await?;
    }
    match endpoint {
        Endpoint::Token(name) => token::handle(agent, client, name, proof, &body).await,
        Endpoint::Credentials(name) => credentials::handle(agent, client, name).await,
        Endpoint::Refresh(name) => json(agent.profiles.refresh(name).await),
        Endpoint::Cluster(name) => json(agent.profiles.cluster(name).await),
        Endpoint::ClusterAccess(name) => json(agent.cluster_access.cluster_access(name, parse(&body)?).await),
        Endpoint::AccessList(name) => json(agent.access.list(name, parse(&body)?).await),
        Endpoint::AccessExplain(name) => json(agent.access.explain(name, parse(&body)?).await),
        Endpoint::AccessPolicies(name) => json(agent.access.policies(name).await),
        Endpoint::AccessGrant(name) => access::change(context, origin, name, &body, AccessService::grant),
        Endpoint::AccessRevoke(name) => access::change(context, origin, name, &body, AccessService::revoke),
        Endpoint::AccessRestore(name) => access::change(context, origin, name, &body, AccessService::restore),
        Endpoint::AccessMigrate(name) => access::change(context, origin, name, &body, AccessService::migrate),
        Endpoint::AccessRecover(name) => access::change(context, origin, name, &body, AccessService::recover),
        Endpoint::Doctor(name) => doctor::handle(context, origin, name, &body),
        Endpoint::AccessLint => json(lint(parse(&body)?).await),
        Endpoint::Discover => discover::handle(context, origin, &body),
        Endpoint::Profile(name) => json(agent.status.profile(name)),
        Endpoint::Keys => json(agent.keys.keys().await),
        Endpoint::PutKey(name) => json(agent.keys.put_key(name, secret_json(body)?).await),
        Endpoint::RotateKey(name) => json(agent.keys.rotate_key(name).await),
        Endpoint::ForgetKey(name) => json(agent.keys.forget_key(name).await),
        Endpoint::Config => Ok(EndpointResponse::json(&agent.config.config_status())),
        Endpoint::ConfigCheck => json(agent.config.config_check(text(body)?).await),
        Endpoint::ConfigReload => Ok(EndpointResponse::json(&agent.config.config_reload().await)),
        Endpoint::Probe(name) => json(agent.probe.probe(name, text(body)?).await),
        Endpoint::Login(name) => login::handle(context, origin, name, body),
        Endpoint::Logout(name) => json(agent.logout.logout(name).await),
        Endpoint::Lock => {
            let request = if body.is_empty() { LockRequest::default() } else { secret_json(body)? };
            json(agent.lock.lock(request, client.locker()).await)
        }
        Endpoint::Unlock => json(agent.lock.unlock(secret_json(body)?, client.locker()).await),
        Endpoint::Status => {
            agent.status.resolve_sources().await;
            Ok(EndpointResponse::json(&agent.status.status()))
        }
        Endpoint::Events => events::handle(context),
        Endpoint::Restart => restart::handle(context).await,
        Endpoint::Stop => Ok(stop(context)),
        _ => Err(AgentError(ErrorBody::new(ErrorCode::BadRequest, "this daemon does not serve this endpoint"))),
    }
}

/// Stops the daemon. The response is sent before it exits.
fn stop(context: &Context) -> EndpointResponse {
    tracing::info!("stop requested");
    context.stop.cancel();
    EndpointResponse::json(&Stopping { pid: std::process::id() })
}

fn json<T: Serialize>(result: Result<T, AgentError>) -> Result<EndpointResponse, AgentError> {
    result.map(|value| EndpointResponse::json(&value))
}

/// Reads a configuration.
fn text(body: Bytes) -> Result<String, AgentError> {
    String::from_utf8(body.into())
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::ConfigInvalid, "the configuration is not UTF-8 text")))
}

/// Parses a body without secrets.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, AgentError> {
    serde_json::from_slice(body)
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::BadRequest, "the request body is invalid for this endpoint")))
}

/// Parses a body that may hold a secret, and wipes it. The parser's error may quote the secret, so it is dropped.
fn secret_json<T: DeserializeOwned>(body: Bytes) -> Result<T, AgentError> {
    let body = Secret::new(Vec::from(body));
    serde_json::from_slice(body.expose())
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::BadRequest, "the request body is invalid for this endpoint")))
}
