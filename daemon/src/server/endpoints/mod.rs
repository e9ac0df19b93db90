//! One handler for each endpoint of the protocol.

mod cluster;
mod config_check;
mod config_reload;
mod events;
mod forget_key;
mod keys;
mod lock;
mod login;
mod logout;
mod ndjson;
mod probe;
mod profile;
mod put_key;
mod refresh;
mod restart;
mod rotate_key;
mod status;
mod stop;
mod token;
mod unlock;

use bytes::Bytes;
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, Secret};
use serde::de::DeserializeOwned;

use super::Context;
use super::answer::Answer;
use super::peer::Peer;
use crate::agent::AgentError;

/// Asks the handler.
pub(super) async fn answer(
    context: &Context,
    peer: Peer,
    endpoint: &Endpoint,
    body: Bytes,
) -> Result<Answer, AgentError> {
    let agent = &context.agent;
    match endpoint {
        Endpoint::Token(name) => token::answer(agent, peer, name, &body).await,
        Endpoint::Refresh(name) => refresh::answer(agent, name).await,
        Endpoint::Cluster(name) => cluster::answer(agent, name).await,
        Endpoint::Profile(name) => profile::answer(agent, name),
        Endpoint::Keys => keys::answer(agent).await,
        Endpoint::PutKey(name) => put_key::answer(agent, name, body).await,
        Endpoint::RotateKey(name) => rotate_key::answer(agent, name).await,
        Endpoint::ForgetKey(name) => forget_key::answer(agent, name).await,
        Endpoint::ConfigCheck => config_check::answer(agent, &body).await,
        Endpoint::ConfigReload => Ok(config_reload::answer(agent)),
        Endpoint::Probe(name) => probe::answer(agent, name, &body).await,
        Endpoint::Login(name) => login::answer(context, name, body),
        Endpoint::Logout(name) => logout::answer(agent, name).await,
        Endpoint::Lock => lock::answer(agent, peer, body).await,
        Endpoint::Unlock => unlock::answer(agent, peer, body).await,
        Endpoint::Status => Ok(status::answer(agent).await),
        Endpoint::Events => events::answer(context),
        Endpoint::Restart => restart::answer(context).await,
        Endpoint::Stop => Ok(stop::answer(context)),
        _ => Err(AgentError(ErrorBody::new(ErrorCode::BadRequest, "this endpoint is not served here"))),
    }
}

/// A configuration has to be text.
fn text(body: &Bytes) -> Result<String, AgentError> {
    String::from_utf8(body.to_vec())
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::ConfigInvalid, "the configuration is not UTF-8 text")))
}

/// Reads what may hold a secret, and wipes it. What is wrong with it is not told: that may quote it.
fn secret_json<T: DeserializeOwned>(body: Bytes) -> Result<T, AgentError> {
    let body = Secret::new(Vec::from(body));
    serde_json::from_slice(body.expose())
        .map_err(|_| AgentError(ErrorBody::new(ErrorCode::BadRequest, "the request is not what this endpoint takes")))
}
