//! `POST /v1/restart`

use rolecall_protocol::{ErrorBody, ErrorCode, Restarting};

use crate::server::Context;
use crate::server::response::EndpointResponse;
use crate::server::socket::SocketName;
use crate::services::AgentError;

/// Checks that a restart loses nothing, and orders it. The response is sent before the restart.
pub(super) async fn handle(context: &Context) -> Result<EndpointResponse, AgentError> {
    let Some(restart) = &context.restart else {
        return Err(AgentError(ErrorBody::new(ErrorCode::BadRequest, "this agent cannot restart by itself")));
    };
    // With an invalid file the restarted agent would have no configuration, while this one has the last valid one.
    let config = context.agent.config.config_reload().await;
    if let Some(problem) = config.problem.filter(|_| config.loaded.is_some()) {
        let message =
            format!("the agent was not restarted and keeps the last valid configuration: {}", problem.error.message);
        return Err(rejected(ErrorBody { code: ErrorCode::RestartRefused, message, ..problem.error }));
    }
    if let Some(Err(error)) = restart.name.as_ref().map(SocketName::check) {
        let message = format!("the agent was not restarted, because it could not listen again: {error}");
        return Err(rejected(
            ErrorBody::new(ErrorCode::RestartRefused, message).hint("Make the folder private: chmod 700."),
        ));
    }
    let checked = restart.program.check().await.map_err(|error| rejected(error.body()))?;
    // Checked last, since it changes most often. A change that begins later is noticed before the handover.
    context.agent.keys.check_settled().map_err(|error| rejected(error.0))?;
    context.agent.access.check_settled().map_err(|error| rejected(error.0))?;
    restart.program.set_next(checked);
    tracing::info!("restart requested");
    restart.requested.cancel();
    Ok(EndpointResponse::json(&Restarting { pid: std::process::id() }))
}

fn rejected(body: ErrorBody) -> AgentError {
    tracing::warn!(reason = %body.message, "restart rejected");
    AgentError(body)
}
