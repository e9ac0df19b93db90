//! `rolecall agent …`: the daemon itself.

mod logs;
mod restart;
mod start;
mod status;
mod stop;

use crate::cli::AgentAction;
use crate::context::Context;
use crate::error::CliError;

/// Runs one of the subcommands.
pub(crate) fn run(action: &AgentAction, context: &Context) -> Result<(), CliError> {
    match action {
        AgentAction::Start => start::run(context, ""),
        AgentAction::Stop => stop::run(context),
        AgentAction::Restart => restart::run(context),
        AgentAction::Status(format) => status::run(format, context),
        AgentAction::Logs { follow, lines } => logs::run(*follow, *lines, context),
    }
}
