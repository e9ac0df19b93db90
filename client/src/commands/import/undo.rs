//! `rolecall import --undo`: restores the users of the last import, and removes what it added to the configuration.

use std::collections::HashSet;
use std::path::Path;

use rolecall_protocol::{SourceName, sanitize_for_terminal};

use super::record::{Addition, ConvertedUser, Import, Records};
use crate::aws_config_file::installed;
use crate::config_file::{self, ConfigFile, ConfigFileError};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, print_notes};
use crate::kubeconfig::{self, OldUser, RestoreState};
use crate::output;

/// Undoes the last import that can be undone.
pub(super) fn undo(context: &Context) -> Result<(), CliError> {
    let mut records = Records::load()?;
    if records.imports.is_empty() {
        return Err(CliError::failed(
            "there is no import to undo",
            "See the contexts with: kubectl config get-contexts",
        ));
    }
    for index in (0..records.imports.len()).rev() {
        let import = &records.imports[index];
        config_status::check_running_daemon_config(&import.config, &context.environment)?;
        let users: Vec<OldUser> = import.users.iter().map(|user| user.old.clone()).collect();
        let (results, written) = kubeconfig::restore(&users)?;
        print_notes(&written.notes);
        for (user, result) in import.users.iter().zip(&results) {
            print_note_of_left(user, *result);
        }
        if !users.is_empty() && results.iter().all(|result| is_left(*result)) {
            continue;
        }
        let removed = remove_additions(import, &results)?;
        print_restored(import, &results, context)?;
        print_removed(&removed, &import.config, context)?;
        let left = left(import, &results, &removed);
        match left {
            Some(left) => records.imports[index] = left,
            None => drop(records.imports.remove(index)),
        }
        return records.save();
    }
    Err(CliError::failed(
        "no import can be undone: each converted user was edited since, or its file is absent",
        "Edit those users by hand, or restore a backup beside the kubeconfig (*.rolecall-backup-*)",
    ))
}

/// Whether a user stays in the record, for a later `--undo`.
fn is_left(result: RestoreState) -> bool {
    matches!(result, RestoreState::Edited | RestoreState::FileAbsent)
}

fn print_note_of_left(user: &ConvertedUser, result: RestoreState) {
    let (contexts, file) = (user.contexts.join(", "), display_path(&user.old.file));
    let name = &user.old.user;
    match result {
        RestoreState::Edited => output::print_note(&format!(
            "the user {name} in {file} was edited since the import and stays (contexts: {contexts})"
        )),
        RestoreState::FileAbsent => output::print_note(&format!(
            "the user {name} is not restored, since {file} is absent; when it is there again, run: rolecall import --undo"
        )),
        RestoreState::Restored | RestoreState::NothingToDo => {}
    }
}

/// What was done with the profiles and sources of an import.
#[derive(Debug, Default)]
struct Removed {
    profiles: Vec<String>,
    sources: Vec<String>,
    /// The profiles that stay, with the reasons.
    kept: Vec<(String, String)>,
}

/// Removes the profiles and sources of an import that are unchanged and in no other use.
fn remove_additions(import: &Import, results: &[RestoreState]) -> Result<Removed, CliError> {
    let mut in_use = profiles_in_use(import);
    let absent = import.users.iter().zip(results).filter(|(_, result)| **result == RestoreState::FileAbsent);
    in_use.extend(absent.map(|(user, _)| user.old.profile.clone()));
    let removed = config_file::edit(&import.config, |file| {
        let mut removed = Removed::default();
        for profile in &import.profiles {
            match reason_to_keep(profile, file, &in_use) {
                _ if file.profile_text(&profile.name).is_none() => {}
                Some(reason) => removed.kept.push((profile.name.clone(), reason)),
                None => {
                    file.remove_profile(&profile.name);
                    removed.profiles.push(profile.name.clone());
                }
            }
        }
        for source in &import.sources {
            let Ok(name) = source.name.parse::<SourceName>() else { continue };
            let is_unchanged = file.source_text(&source.name).is_some_and(|text| source.is_unchanged(&text));
            if is_unchanged && file.profiles_of_source(&name).is_empty() {
                file.remove_source(&name);
                removed.sources.push(source.name.clone());
            }
        }
        Ok::<_, ConfigFileError>(removed)
    })?;
    Daemon::reload();
    Ok(removed)
}

/// Returns the profiles whose tokens a context still gets.
fn profiles_in_use(import: &Import) -> HashSet<String> {
    let mut paths: Vec<_> = import.users.iter().map(|user| user.old.file.clone()).collect();
    paths.extend(files(None).iter().flat_map(|files| files.paths().to_vec()));
    // Each file by itself, since the list may have files that cannot be read.
    let contexts = paths.iter().filter_map(|path| kubeconfig::contexts(&kubeconfig::Files::one(path).ok()?).ok());
    contexts.flatten().filter_map(|context| context.profile).collect()
}

fn reason_to_keep(profile: &Addition, file: &ConfigFile, in_use: &HashSet<String>) -> Option<String> {
    if in_use.contains(&profile.name) {
        return Some("a context still uses it".to_owned());
    }
    let text = file.profile_text(&profile.name)?;
    (!profile.is_unchanged(&text)).then(|| "it was changed since the import".to_owned())
}

fn print_restored(import: &Import, results: &[RestoreState], context: &Context) -> Result<(), CliError> {
    let restored = import.users.iter().zip(results).filter(|(_, result)| **result == RestoreState::Restored);
    let contexts: Vec<&str> = restored.flat_map(|(user, _)| user.contexts.iter().map(String::as_str)).collect();
    match contexts.len() {
        0 => context.print_done("no converted user is left to restore"),
        1..=8 => context.print_done(&sanitize_for_terminal(&format!("restored {}", contexts.join(", ")))),
        count => context.print_done(&format!("restored {count} contexts")),
    }
}

fn print_removed(removed: &Removed, config: &Path, context: &Context) -> Result<(), CliError> {
    let file = display_path(config);
    match removed.profiles.as_slice() {
        [] => {}
        few @ [..] if few.len() <= 8 => {
            let plural = if few.len() == 1 { "" } else { "s" };
            context.print_done(&format!("removed the profile{plural} {} from {file}", few.join(", ")))?;
        }
        many => context.print_done(&format!("removed {} profiles from {file}", many.len()))?,
    }
    let names: Vec<&str> = removed.profiles.iter().map(String::as_str).collect();
    installed::remove(&names).iter().try_for_each(|line| context.print_done(line))?;
    for (name, reason) in &removed.kept {
        output::print_note(&format!("the profile {name} stays: {reason}"));
    }
    Ok(())
}

fn users_left<'a>(import: &'a Import, results: &'a [RestoreState]) -> impl Iterator<Item = &'a ConvertedUser> {
    import.users.iter().zip(results).filter(|(_, result)| is_left(**result)).map(|(user, _)| user)
}

/// Returns what is left to undo: the users that were not restored, with their profiles.
fn left(import: &Import, results: &[RestoreState], removed: &Removed) -> Option<Import> {
    let users: Vec<_> = users_left(import, results).cloned().collect();
    let of_users = |addition: &&Addition| users.iter().any(|user| user.old.profile == addition.name);
    let profiles = import.profiles.iter().filter(of_users).cloned().collect();
    let stays = |source: &&Addition| !removed.sources.contains(&source.name);
    let sources = import.sources.iter().filter(stays).cloned().collect();
    (!users.is_empty()).then(|| Import { profiles, sources, users, ..import.clone() })
}
