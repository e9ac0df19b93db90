//! `rolecall config check`.

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::{ConfigChecked, Endpoint, location};

use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::config_status::is_same_file;
use crate::daemon::{Daemon, spawn};
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::output;

/// How long the check in a process of its own may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the file as it is on disk, and whether it is in force.
pub(super) fn run(context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    if !path.exists() {
        output::print_note(&format!("there is no {} yet. Add a profile: rolecall add --help", display_path(&path)));
        return Ok(());
    }
    // A check changes no file, so an error does not say that either.
    let file = ConfigFile::load(&path).map_err(|error| CliError::from(error).untouched(None))?;
    let status = match agent_with_config(&path, context)? {
        Some(daemon) => {
            let _: ConfigChecked = daemon.call_json(&Endpoint::ConfigCheck, file.text().as_bytes())?;
            daemon.call_json(&Endpoint::ConfigReload, b"")?
        }
        None => spawn::check_config(&(context.read_environment)(), Deadline::after(CHECK_TIMEOUT))?,
    };
    // What the text does not show: the mode of a folder, a file that it names.
    if let Some(problem) = status.problem {
        return Err(problem.error.into());
    }
    let count = match file.profile_names().len() {
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

/// Returns the agent if it uses the configuration at `path`. Starts it for the user's own configuration only: an agent that is left
/// behind with another one would serve that one to kubectl.
fn agent_with_config(path: &Path, context: &Context) -> Result<Option<Daemon>, CliError> {
    let Some(running) = Daemon::status_if_running() else {
        let is_own = location::default_config().is_ok_and(|own| is_same_file(&own, path));
        return Ok(if is_own { Some(context.daemon()?) } else { None });
    };
    let theirs = running.config.path;
    if is_same_file(Path::new(&theirs), path) {
        return Ok(Some(context.daemon()?));
    }
    output::print_note(&format!("the agent uses {theirs}: {} is not in force", display_path(path)));
    Ok(None)
}
