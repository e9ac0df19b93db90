//! `rolecall rename OLD NEW`: renames a profile and its context.

use std::path::Path;

use rolecall_protocol::{ProfileName, sanitize_for_terminal, similar_names};

use crate::aws_config_file::installed;
use crate::cli::Rename;
use crate::config_file::{self, ConfigFile};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, kubeconfig_option, print_notes};
use crate::kubeconfig::{self, Renaming};
use crate::output;

/// Renames the profile in the configuration, then its entries in the kubeconfig and its AWS profiles. Restores the configuration
/// if the kubeconfig cannot be written.
pub(crate) fn run(wanted: &Rename, context: &Context) -> Result<(), CliError> {
    let (old, new) = (&wanted.name, &wanted.new_name);
    let path = context.config_path()?;
    let files = files(wanted.kubeconfig.as_deref())?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    check_names(old, new, &ConfigFile::load(&path)?)?;
    kubeconfig::check_rename(&files, old.as_str(), new.as_str())?;
    rename_in_config(old, new, &path)?;
    Daemon::reload();
    let outcome = kubeconfig::rename(&files, old.as_str(), new.as_str()).map_err(|error| {
        let error = CliError::failed(error.to_string(), error.advice());
        match rename_in_config(new, old, &path) {
            Ok(()) => error.with_hint_prefix(&format!("The profile is named {old} again")),
            Err(_) => error.with_hint_prefix(&format!("The profile is named {new} already")),
        }
    });
    let outcome = outcome.inspect_err(|_| drop(Daemon::reload()))?;
    print_notes(&outcome.written.notes);
    context.print_done(&format!("renamed the profile {old} to {new} in {}", display_path(&path)))?;
    match outcome.renaming {
        Renaming::Renamed { file, is_current } => {
            let current = if is_current { " (it is your current context)" } else { "" };
            let entry = kubeconfig::find(&files, new.as_str())?;
            match entry.filter(|entry| entry.context != new.as_str()) {
                Some(entry) => {
                    let name = sanitize_for_terminal(&entry.context);
                    let file = display_path(&file);
                    context.print_done(&format!("its context {name} in {file} keeps its name{current}"))?;
                }
                None => context.print_done(&format!("renamed its context in {}{current}", display_path(&file)))?,
            }
        }
        Renaming::NotFound => output::print_note(&format!(
            "no context {old} was found; write the new one with: rolecall kubeconfig {new}{}",
            kubeconfig_option(wanted.kubeconfig.as_deref())
        )),
        Renaming::NotOurs => output::print_note(&format!(
            "the context {old} was made by another tool and stays; write the new one with: rolecall kubeconfig {new}{}",
            kubeconfig_option(wanted.kubeconfig.as_deref())
        )),
    }
    installed::rename(old.as_str(), new.as_str()).iter().try_for_each(|line| context.print_done(line))
}

fn rename_in_config(old: &ProfileName, new: &ProfileName, path: &Path) -> Result<(), CliError> {
    config_file::edit(path, |file| {
        // Checked again, because the file may have changed.
        check_names(old, new, file)?;
        file.rename_profile(old.as_str(), new.as_str());
        Ok(())
    })
}

fn check_names(old: &ProfileName, new: &ProfileName, config: &ConfigFile) -> Result<(), CliError> {
    let known = config.profile_names();
    let has = |name: &ProfileName| known.iter().any(|known| known == name.as_str());
    if !has(old) {
        config.check_own_profile(old.as_str())?;
        let hint = match similar_names(old.as_str(), known.iter().map(String::as_str)).as_slice() {
            [] => "See the profiles with: rolecall list".to_owned(),
            alike => format!("Did you mean {}?", alike.join(" or ")),
        };
        return Err(CliError::failed(format!("there is no profile \"{old}\""), hint).nothing_written());
    }
    if has(new) || config.included_from(new.as_str()).is_some() {
        let error = CliError::failed(format!("there is a profile \"{new}\" already"), "Choose another name");
        return Err(error.nothing_written());
    }
    Ok(())
}
