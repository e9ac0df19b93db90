//! `rolecall config check`.

use rolecall_protocol::{ConfigChecked, Endpoint, Status};

use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::{clock, output};

/// Checks the file as it is on disk, and whether it is in force.
pub(super) fn run(context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    if !path.exists() {
        output::print_note(&format!("there is no {} yet. Add a profile: rolecall add --help", display_path(&path)));
        return Ok(());
    }
    let file = ConfigFile::load(&path)?;
    let daemon = context.daemon()?;
    let ConfigChecked { profiles } = daemon.call_json(&Endpoint::ConfigCheck, file.text().as_bytes())?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    config_status::check_same_config(&path, &status.config, &context.environment)?;
    // What the text does not show: the mode of a folder, a file that it names.
    if let Some(broken) = config_status::invalid_config_error(&status, clock::now(), &context.zone) {
        return Err(broken);
    }
    let count = match profiles.len() {
        1 => "1 profile".to_owned(),
        count => format!("{count} profiles"),
    };
    context.print_done(&format!("{} is valid ({count})", display_path(&path)))
}
