//! One command, one file. Each takes what was asked for, talks to the daemon or edits the user's files, and prints.

pub(crate) mod add;
pub(crate) mod agent;
pub(crate) mod completions;
pub(crate) mod kubeconfig;
pub(crate) mod list;
pub(crate) mod refresh;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod use_context;

use crate::output;
use crate::report::{CliError, Exit};

/// Prints JSON for programs.
fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        CliError::new(Exit::Bug, format!("cannot write JSON: {error}"), "Report it, with the command that you ran")
    })?;
    output::print(&format!("{text}\n"))
}
