//! `POST /v1/profiles/{name}/doctor`

use std::sync::Arc;

use bytes::Bytes;
use rolecall_protocol::{DoctorRequest, ErrorBody, ErrorCode, ProfileName};

use super::{Origin, ndjson};
use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;

pub(super) fn handle(
    context: &Context,
    origin: Origin<'_>,
    name: &ProfileName,
    body: &Bytes,
) -> Result<EndpointResponse, AgentError> {
    let request: DoctorRequest = super::parse(body)?;
    let busy = ErrorBody::new(ErrorCode::Throttled, "too many diagnoses are in progress");
    let busy = busy.hint("Wait until one of them has ended.");
    let (service, name) = (Arc::clone(&context.agent.doctor), name.clone());
    ndjson::respond_with_steps(context, origin, busy, |steps| service.doctor(name, request, steps))
}
