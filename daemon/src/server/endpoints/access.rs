//! `POST /v1/profiles/{name}/access/{grant, revoke, restore, migrate, recover}`

use std::sync::Arc;

use bytes::Bytes;
use rolecall_protocol::{AccessStep, ErrorBody, ErrorCode, ProfileName};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::Sender;

use super::{Origin, ndjson};
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::access::AccessService;

/// Plans or makes a change with the service function of the endpoint's name, and sends its steps.
pub(super) fn change<R, F>(
    context: &Context,
    origin: Origin<'_>,
    name: &ProfileName,
    body: &Bytes,
    make: impl FnOnce(Arc<AccessService>, ProfileName, R, Sender<AccessStep>) -> F,
) -> Result<EndpointResponse, AgentError>
where
    R: DeserializeOwned,
    F: Future<Output = Result<(), ErrorCode>> + Send + 'static,
{
    let request = super::parse(body)?;
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many changes of access are in progress");
    let busy = busy.hint("Wait until one of them has ended.");
    let service = Arc::clone(&context.agent.access);
    ndjson::respond_with_steps(context, origin, busy, |steps| make(service, name.clone(), request, steps))
}
