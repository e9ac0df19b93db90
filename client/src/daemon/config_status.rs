//! What the daemon reports about its configuration, and whether it is the file that a command is about to change.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{ConfigStatus, Endpoint, Status};

use super::call::Daemon;
use crate::environment::Environment;
use crate::error::CliError;
use crate::format_time;

/// There is no profile. An error for those who need one; others say the same as a note.
pub(crate) fn no_profiles_error() -> CliError {
    CliError::failed("there are no profiles yet", "Add one: rolecall add --help")
}

/// What is in force while the configuration is broken, as a sentence without its full stop.
pub(crate) fn config_in_force(config: &ConfigStatus, now: Timestamp, zone: &TimeZone) -> String {
    match config.loaded {
        Some(loaded) => {
            let loaded = format_time::short_time(now, loaded, zone);
            format!("The configuration read at {loaded} stays in force until that is mended")
        }
        None => "No profile is served until that is mended".to_owned(),
    }
}

/// What is wrong with the configuration, if anything is, and what is in force meanwhile. An error for those who need a
/// profile where there is none.
pub(crate) fn invalid_config_error(status: &Status, now: Timestamp, zone: &TimeZone) -> Option<CliError> {
    let problem = status.config.problem.as_ref()?;
    Some(CliError::from(problem.error.clone()).with_hint_suffix(&config_in_force(&status.config, now, zone)))
}

/// Before the configuration at `ours` is written: whether the daemon goes by that one. What is written to another, where
/// `ROLECALL_CONFIG` is not what the daemon was started with, would be told as done and never come into force.
pub(crate) fn check_daemon_config(daemon: &Daemon, ours: &Path, environment: &Environment) -> Result<(), CliError> {
    check_same_config(ours, &daemon.call_json::<Status>(&Endpoint::Status, b"")?.config, environment)
}

/// The same where no daemon is needed: one that does not run, or does not answer, goes by nothing else.
pub(crate) fn check_running_daemon_config(ours: &Path, environment: &Environment) -> Result<(), CliError> {
    Daemon::status_if_running().map_or(Ok(()), |status| check_same_config(ours, &status.config, environment))
}

pub(crate) fn check_same_config(ours: &Path, theirs: &ConfigStatus, environment: &Environment) -> Result<(), CliError> {
    if ours.to_string_lossy() == theirs.path || resolve_existing(ours) == resolve_existing(Path::new(&theirs.path)) {
        return Ok(());
    }
    let other = match environment.get("ROLECALL_CONFIG") {
        Some(_) => "Unset ROLECALL_CONFIG",
        None => "Set ROLECALL_CONFIG to the agent's file",
    };
    Err(CliError::failed(
        format!("the agent goes by the configuration {}, and this would change {}", theirs.path, ours.display()),
        format!("{other}, or have the agent go by yours: rolecall agent restart"),
    )
    .nothing_written())
}

/// A path without links as far as it exists: by two names it may still be one file, and that may be yet to be made.
fn resolve_existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match found.map(|(above, real)| (path.strip_prefix(above), real)) {
        Some((Ok(rest), real)) => real.components().chain(rest.components()).collect(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_the_agent_s_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, other] = ["config.toml", "link.toml", "other.toml"].map(|name| folder.path().join(name));
        let told = |ours: &Path, theirs: &Path| {
            let theirs = ConfigStatus { path: theirs.display().to_string(), loaded: None, problem: None };
            check_same_config(ours, &theirs, &Environment::default()).map_err(|error| error.to_string())
        };
        assert_eq!(told(&file, &file), Ok(()), "one that is not there yet");
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(told(&link, &file), Ok(()));
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(folder.path(), &linked).unwrap();
        assert_eq!(told(&linked.join("new/config.toml"), &folder.path().join("new/config.toml")), Ok(()));
        assert!(told(&linked.join("new/config.toml"), &file).is_err());
        let said = told(&other, &file).unwrap_err();
        for part in [file.to_str().unwrap(), other.to_str().unwrap(), "Nothing was written.", "ROLECALL_CONFIG"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(said.ends_with(": rolecall agent restart"), "{said}");
    }
}
