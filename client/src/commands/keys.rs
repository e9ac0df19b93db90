//! `rolecall keys …`: long-lived keys in the OS keyring.

mod forget;
mod list;
mod put;
mod rotate;
mod text;

use crate::cli::KeysAction;
use crate::context::Context;
use crate::error::CliError;

/// Runs the command.
pub(crate) fn run(action: &KeysAction, context: &Context) -> Result<(), CliError> {
    match action {
        KeysAction::Put(wanted) => put::run(wanted, context),
        KeysAction::List(format) => list::run(format, context),
        KeysAction::Rotate { name } => rotate::run(name, context),
        KeysAction::Forget { name, yes } => forget::run(name, *yes, context),
    }
}
