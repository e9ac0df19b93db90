//! What the daemon reports about its configuration, and whether it is the file that a command is about to change.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{ConfigStatus, Endpoint, ProfileName, Status};

use super::call::Daemon;
use crate::clock;
use crate::environment::Environment;
use crate::error::CliError;
use crate::format_time;

/// No profile is configured.
pub(crate) fn no_profiles_error() -> CliError {
    CliError::failed("there are no profiles yet", "Begin with: rolecall import, rolecall discover or rolecall add")
}

/// Which configuration is in force while the file is invalid, as a sentence without its final period.
pub(crate) fn config_in_force(config: &ConfigStatus, now: Timestamp, zone: &TimeZone) -> String {
    match config.loaded {
        Some(loaded) => {
            let loaded = format_time::short_time(now, loaded, zone);
            format!("The configuration read at {loaded} stays in force until this is fixed")
        }
        None => "No profile is served until this is fixed".to_owned(),
    }
}

/// The problem of the configuration, if it is invalid, and which configuration is in force instead.
pub(crate) fn invalid_config_error(status: &Status, now: Timestamp, zone: &TimeZone) -> Option<CliError> {
    let problem = status.config.problem.as_ref()?;
    Some(CliError::from(problem.error.clone()).with_hint_suffix(&config_in_force(&status.config, now, zone)))
}

/// Returns the name of every profile. Errors if there is none.
pub(crate) fn profile_names(daemon: &Daemon, zone: &TimeZone) -> Result<Vec<ProfileName>, CliError> {
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    if status.profiles.is_empty() {
        return Err(invalid_config_error(&status, clock::now(), zone).unwrap_or_else(no_profiles_error));
    }
    Ok(status.profiles.into_iter().map(|profile| profile.name).collect())
}

/// Checks that the daemon uses the configuration at `ours`, before a command writes it. With another `ROLECALL_CONFIG`,
/// the change would be written and never come into force.
pub(crate) fn check_daemon_config(daemon: &Daemon, ours: &Path, environment: &Environment) -> Result<(), CliError> {
    check_same_config(ours, &daemon.call_json::<Status>(&Endpoint::Status, b"")?.config, environment)
}

/// Like [`check_daemon_config`], if a daemon runs and answers.
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
        format!("the agent uses the configuration {}, and this command would change {}", theirs.path, ours.display()),
        format!("{other}, or make the agent use yours: rolecall agent restart"),
    )
    .nothing_written())
}

/// Whether two paths lead to one file: they are equal, or device and inode are.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    a == b || identity(a).is_some_and(|a| identity(b) == Some(a))
}

/// Resolves the links of the part of a path that exists: two names may be one file, which may not exist yet.
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
    fn check_same_config_resolves_links() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, other] = ["config.toml", "link.toml", "other.toml"].map(|name| folder.path().join(name));
        let result_text = |ours: &Path, theirs: &Path| {
            let theirs =
                ConfigStatus { path: theirs.display().to_string(), loaded: None, problem: None, includes: Vec::new() };
            check_same_config(ours, &theirs, &Environment::default()).map_err(|error| error.to_string())
        };
        assert_eq!(result_text(&file, &file), Ok(()), "one that is not there yet");
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(result_text(&link, &file), Ok(()));
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(folder.path(), &linked).unwrap();
        assert_eq!(result_text(&linked.join("new/config.toml"), &folder.path().join("new/config.toml")), Ok(()));
        assert!(result_text(&linked.join("new/config.toml"), &file).is_err());
        let said = result_text(&other, &file).unwrap_err();
        for part in [file.to_str().unwrap(), other.to_str().unwrap(), "Nothing was written.", "ROLECALL_CONFIG"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(said.ends_with(": rolecall agent restart"), "{said}");
    }
}
