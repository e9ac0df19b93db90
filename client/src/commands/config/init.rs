//! `rolecall config init`: writes a configuration in which every setting is a comment.

use crate::config_file;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::error::Untouched;
use crate::files::path_text::display_path;

/// The new file. The tests of `daemon/core/src/config/schema/reference.rs` write it and check that the daemon accepts it.
const TEMPLATE: &str = include_str!("../../../../install/config.toml");

/// Writes the file. Errors if it exists.
pub(super) fn run(context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    if !config_file::create(&path, TEMPLATE)? {
        let message = format!("{} exists already", display_path(&path));
        return Err(CliError::failed(message, "Edit it: rolecall config edit").untouched(Untouched::NothingChanged));
    }
    context.print_done(&format!("{} is written; every setting in it is a comment", display_path(&path)))
}
