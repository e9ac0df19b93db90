//! `rolecall token` in a form that the fast path of `main.rs` does not know, such as `rolecall token -- prod`.

use std::ffi::OsStr;

use crate::cli::Token;
use crate::context::Context;
use crate::error::CliError;

/// Runs the fast path, which prints its own errors.
pub(crate) fn run(wanted: &Token, context: &Context) -> Result<(), CliError> {
    match crate::token::run(OsStr::new(wanted.name.as_str()), context.read_environment) {
        0 => Ok(()),
        code => Err(CliError::silent(code)),
    }
}
