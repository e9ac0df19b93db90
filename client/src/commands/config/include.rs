//! `rolecall config include PATH…`: includes the profiles of a team's file, or stops doing so.

use std::path::{Path, PathBuf};

use rolecall_protocol::{ConfigChecked, Endpoint, IncludePattern, IncludeStatus, included_paths, location};

use crate::config_file::includes::pattern_of;
use crate::config_file::{self, ConfigFile};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::{CliError, Exit};
use crate::files::error::Untouched;
use crate::files::path_text::display_path;
use crate::output;

/// Includes the files. Changes nothing if one of them is invalid.
pub(super) fn add(paths: &[PathBuf], context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    let patterns = patterns(paths)?;
    let daemon = context.daemon()?;
    config_status::check_daemon_config(&daemon, &path, &context.environment)?;
    let mut draft = ConfigFile::load(&path)?;
    for pattern in &patterns {
        draft.add_include(pattern)?;
    }
    let checked: ConfigChecked = daemon
        .call_json(&Endpoint::ConfigCheck, draft.text().as_bytes())
        .map_err(|error| CliError::from(error).nothing_written())?;
    let home = location::home()?;
    let named = included_paths(&patterns, &path, &home);
    let is_named = |include: &&IncludeStatus| named.iter().any(|named| named.path == Path::new(&include.path));
    let named: Vec<&IncludeStatus> = checked.includes.iter().filter(is_named).collect();
    // One with a part in force is included.
    if let Some(problem) = named.iter().filter(|include| include.loaded.is_none()).find_map(|it| it.problem.clone()) {
        let error = CliError::failed(problem.error.message, "Fix the file, and run the command again");
        return Err(error.nothing_written());
    }
    let new = config_file::edit(&path, |file| {
        patterns.iter().map(|pattern| file.add_include(pattern)).collect::<Result<Vec<bool>, _>>()
    })
    .map_err(|error: config_file::ConfigFileError| CliError::from(error))?;
    Daemon::reload();
    for (pattern, _) in patterns.iter().zip(new).filter(|(_, is_new)| !is_new) {
        output::print_note(&format!("{pattern} is included already"));
    }
    if named.is_empty() {
        output::print_note("no file matches yet");
    }
    for include in &named {
        context.print_done(&summary(include))?;
        if let Some(problem) = &include.problem {
            output::print_note(&problem.error.clone().sanitized().to_string());
        }
    }
    if named.iter().any(|include| include.profiles > 0) {
        output::print("  write their contexts: rolecall kubeconfig --all\n")?;
    }
    Ok(())
}

/// Stops including the files. Changes nothing if one of them is not included.
pub(super) fn remove(paths: &[PathBuf], context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    let patterns = patterns(paths)?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    let removed = config_file::edit(&path, |file| {
        let mut removed = Vec::new();
        for pattern in &patterns {
            match file.remove_include(pattern).as_slice() {
                [] => return Err(not_included(pattern, file)),
                texts => removed.extend_from_slice(texts),
            }
        }
        Ok(removed)
    })?;
    Daemon::reload();
    for pattern in removed {
        context.print_done(&format!("{pattern} is no longer included; the contexts of its profiles stay"))?;
    }
    Ok(())
}

/// A file and its profiles in force.
pub(super) fn summary(include: &IncludeStatus) -> String {
    let count = match include.profiles {
        1 => "1 profile".to_owned(),
        count => format!("{count} profiles"),
    };
    format!("{} is included ({count})", display_path(Path::new(&include.path)))
}

fn patterns(paths: &[PathBuf]) -> Result<Vec<IncludePattern>, CliError> {
    let pattern = |path: &PathBuf| {
        pattern_of(path).map_err(|message| {
            CliError::new(
                Exit::Usage,
                format!("{} {message}", path.display()),
                "Name a file, as in: ~/team/rolecall.toml",
            )
        })
    };
    paths.iter().map(pattern).collect()
}

fn not_included(pattern: &IncludePattern, file: &ConfigFile) -> CliError {
    let known: Vec<String> = file.include_patterns().into_iter().map(String::from).collect();
    let hint = match known.as_slice() {
        [] => "The configuration includes no file".to_owned(),
        known => format!("These are included: {}", known.join(", ")),
    };
    CliError::failed(format!("{pattern} is not included"), hint).untouched(Untouched::NothingChanged)
}
