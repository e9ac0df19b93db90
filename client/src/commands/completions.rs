//! `rolecall completions SHELL`: the script that makes a shell complete `rolecall`.

use crate::cli::Completions;
use crate::completion;
use crate::error::CliError;
use crate::output;

/// Prints the script.
pub(crate) fn run(wanted: &Completions) -> Result<(), CliError> {
    output::stdout_bytes(&completion::script(wanted.shell)?)
}
