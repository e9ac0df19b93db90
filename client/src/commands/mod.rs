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

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{ConfigStatus, Status};

use crate::report::{CliError, Exit};
use crate::{output, words};

/// There is no profile. An error for those who need one; others say the same as a note.
fn none_yet() -> CliError {
    CliError::failed("there are no profiles yet", "Add one: rolecall add --help")
}

/// What is in force while the configuration is broken, as a sentence without its full stop.
fn meanwhile(config: &ConfigStatus, now: Timestamp, zone: &TimeZone) -> String {
    match config.loaded {
        Some(loaded) => {
            let loaded = words::moment(now, loaded, zone);
            format!("The configuration read at {loaded} stays in force until that is mended")
        }
        None => "No profile is served until that is mended".to_owned(),
    }
}

/// What is wrong with the configuration, if anything is, and what is in force meanwhile. An error for those who need a
/// profile where there is none.
fn broken(status: &Status, now: Timestamp, zone: &TimeZone) -> Option<CliError> {
    let problem = status.config.problem.as_ref()?;
    Some(CliError::from(problem.error.clone()).and(&meanwhile(&status.config, now, zone)))
}

/// Prints JSON for programs.
fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        CliError::new(Exit::Bug, format!("cannot write JSON: {error}"), "Report it, with the command that you ran")
    })?;
    output::print(&format!("{text}\n"))
}
