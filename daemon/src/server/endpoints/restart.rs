//! `POST /v1/restart`

use rolecall_protocol::{ErrorBody, ErrorCode, Restarting};

use crate::agent::AgentError;
use crate::server::Context;
use crate::server::answer::Answer;

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
        return Err(refused(ErrorBody { code: ErrorCode::RestartRefused, message, hint: problem.error.hint }));
    }
    restart.program.check().await.map_err(|unfit| refused(unfit.body()))?;
    tracing::info!("Asked to restart");
    restart.asked.cancel();
    Ok(Answer::json(&Restarting { pid: std::process::id() }))
}

fn refused(body: ErrorBody) -> AgentError {
    tracing::warn!(reason = %body.message, "Asked to restart, and refused");
    AgentError(body)
}
