//! `POST /v1/sources/{name}/login`

use std::sync::Arc;

use bytes::Bytes;
use rolecall_protocol::{ErrorBody, ErrorCode, LoginRequest, SourceName};

use super::{Origin, ndjson};
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

pub(super) fn handle(
    context: &Context,
    origin: Origin<'_>,
    name: &SourceName,
    body: Bytes,
) -> Result<EndpointResponse, AgentError> {
    let request = if body.is_empty() { LoginRequest::default() } else { super::secret_json(body)? };
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many logins are in progress");
    let busy = busy.hint("End one of them: Ctrl-C in its terminal.");
    let (service, name) = (Arc::clone(&context.agent.login), name.clone());
    ndjson::respond_with_steps(context, origin, busy, |steps| async move { service.login(name, request, steps).await })
}
