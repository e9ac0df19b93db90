//! `POST /v1/restart`

use rolecall_protocol::{ErrorBody, ErrorCode, Restarting};

use crate::agent::AgentError;
use crate::server::Context;
use crate::server::answer::Answer;
use crate::server::socket::Name;

/// Makes sure that nothing would be lost, and orders it. The answer itself is among what is finished before.
pub(super) async fn answer(context: &Context) -> Result<Answer, AgentError> {
    let Some(restart) = &context.restart else {
        return Err(AgentError(ErrorBody::new(ErrorCode::BadRequest, "the agent cannot restart by itself here")));
    };
    // A configuration that is wrong by now is not in force, but what was before is: it would be gone.
    context.agent.reload();
    let config = context.agent.config_status();
    if let Some(problem) = config.problem.filter(|_| config.loaded.is_some()) {
        let message =
            format!("the agent goes on as it is, with the last good configuration: {}", problem.error.message);
        return Err(refused(ErrorBody { code: ErrorCode::RestartRefused, message, ..problem.error }));
    }
    if let Some(Err(error)) = restart.name.as_ref().map(Name::check) {
        let message = format!("the agent goes on as it is, since it could not listen again: {error}");
        return Err(refused(ErrorBody::new(ErrorCode::RestartRefused, message).hint("Close the folder to others.")));
    }
    restart.program.check().await.map_err(|unfit| refused(unfit.body()))?;
    // Last, since it changes soonest. What begins after this is seen before the other program takes over.
    context.agent.check_keys_settled().map_err(|changing| refused(changing.0))?;
    tracing::info!("StsOperation to restart");
    restart.asked.cancel();
    Ok(Answer::json(&Restarting { pid: std::process::id() }))
}

fn refused(body: ErrorBody) -> AgentError {
    tracing::warn!(reason = %body.message, "StsOperation to restart, and refused");
    AgentError(body)
}
