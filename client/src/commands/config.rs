//! `rolecall config …`: the configuration file.

mod check;
mod edit;
mod include;
mod init;

use crate::cli::ConfigAction;
use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// Runs the command.
pub(crate) fn run(action: &ConfigAction, context: &Context) -> Result<(), CliError> {
    match action {
        ConfigAction::Check => check::run(context),
        ConfigAction::Edit => edit::run(context),
        ConfigAction::Include { paths, remove: false } => include::add(paths, context),
        ConfigAction::Include { paths, remove: true } => include::remove(paths, context),
        ConfigAction::Init => init::run(context),
        // For scripts, so unchanged and whole.
        ConfigAction::Path => output::print(&format!("{}\n", context.config_path()?.display())),
    }
}
