//! `rolecall config check`.

use rolecall_protocol::{ConfigChecked, ConfigStatus, Endpoint};

use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::output;

/// Checks the file as it is on disk, and whether it is in force.
pub(super) fn run(context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    if !path.exists() {
        output::print_note(&format!("there is no {} yet. Add a profile: rolecall add --help", display_path(&path)));
        return Ok(());
    }
    // A check changes no file, so an error does not say that either.
    let file = ConfigFile::load(&path).map_err(|error| CliError::from(error).untouched(None))?;
    let daemon = context.daemon()?;
    let ConfigChecked { profiles, .. } = daemon.call_json(&Endpoint::ConfigCheck, file.text().as_bytes())?;
    let status: ConfigStatus = daemon.call_json(&Endpoint::ConfigReload, b"")?;
    config_status::check_same_config(&path, &status, &context.environment).map_err(|error| error.untouched(None))?;
    // What the text does not show: the mode of a folder, a file that it names.
    if let Some(problem) = status.problem {
        return Err(problem.error.into());
    }
    let count = match profiles.len() {
        1 => "1 profile".to_owned(),
        count => format!("{count} profiles"),
    };
    context.print_done(&format!("{} is valid ({count})", display_path(&path)))?;
    let mut failed = None;
    for include in &status.includes {
        match &include.problem {
            Some(problem) => {
                let error = CliError::from(problem.error.clone());
                output::print_error(&error);
                failed.get_or_insert(error.code());
            }
            None => context.print_done(&super::include::summary(include))?,
        }
    }
    failed.map_or(Ok(()), |code| Err(CliError::silent(code)))
}
