//! `rolecall status`: every profile's session, and what is wrong.

mod follow;
mod frame;
mod render;
mod sources;
mod text;
mod watch;

use rolecall_protocol::{Endpoint, Status};

use crate::cli;
use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// Prints the status once, or with `--watch` whenever it changes.
pub(crate) fn run(options: &cli::Status, context: &Context) -> Result<(), CliError> {
    if options.watch {
        return watch::run(options, context);
    }
    let daemon = context.daemon()?;
    if options.json {
        return output::print_json(&daemon.call_json::<serde_json::Value>(&Endpoint::Status, b"")?);
    }
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    render::print(&status, &context.zone, context.screen)
}
