//! `rolecall completions SHELL`: generated from the command line's definition, so that it is never behind.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::output;
use crate::report::CliError;

/// Prints the script.
pub(crate) fn run(wanted: &Completions) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Cli::command(), "rolecall", &mut script);
    output::raw(&script)
}
