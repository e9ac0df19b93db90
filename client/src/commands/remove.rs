//! `rolecall remove NAME…`: removes profiles with their contexts and AWS profiles.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rolecall_protocol::{ProfileName, sanitize_for_terminal, similar_names};

use crate::aws_config_file::installed;
use crate::cli::Remove;
use crate::config_file::{self, ConfigFile};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, kubeconfig_option, print_notes};
use crate::kubeconfig::{self, Files, Removal, RemoveOutcome};
use crate::output;

/// Removes the profiles. Changes nothing if one of the names is unknown.
///
/// The kubeconfig is written first. If the configuration cannot be written then, the user can run the same command
/// again.
pub(crate) fn run(wanted: &Remove, context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    let config = ConfigFile::load(&path)?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    for name in &wanted.names {
        config.check_own_profile(name.as_str())?;
    }
    check_known(&wanted.names, &config.profile_names())?;
    let mut seen = BTreeSet::new();
    let names: Vec<&ProfileName> = wanted.names.iter().filter(|name| seen.insert(*name)).collect();
    let outcome = if wanted.keep_context {
        None
    } else {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let files = files(wanted.kubeconfig.as_deref())?;
        if !wanted.delete_context {
            check_not_converted(&kubeconfig::converted_contexts(&files, &names)?)?;
        }
        let outcome = kubeconfig::remove(&files, &names)?;
        Some((files, outcome))
    };
    let removed = config_file::edit(&path, |file| {
        for name in &names {
            file.remove_profile(name.as_str());
        }
        Ok::<(), CliError>(())
    });
    removed.map_err(|error| match outcome.as_ref().map(|(_, outcome)| outcome.written.files.as_slice()) {
        None | Some([]) => error,
        Some(changed) => error.after_change(&format!("The contexts were removed from {} already", list(changed))),
    })?;
    Daemon::reload();
    for name in &names {
        let rest = outcome.as_ref().map(|(files, outcome)| context_text(name, outcome, files)).unwrap_or_default();
        context.print_done(&format!("removed the profile {name}{rest}"))?;
        if let Some(path) = config.overridden(name.as_str()) {
            output::print_note(&format!(
                "{name} is now the profile of {}; write its context with: rolecall kubeconfig {name}",
                display_path(&path)
            ));
        }
    }
    // The profile of an included file has the name from now on.
    let gone: Vec<&str> =
        names.iter().map(|name| name.as_str()).filter(|name| config.overridden(name).is_none()).collect();
    installed::remove(&gone).iter().try_for_each(|line| context.print_done(line))?;
    if let Some((_, outcome)) = outcome {
        print_notes(&outcome.written.notes);
        print_context_notes(&outcome, &kubeconfig_option(wanted.kubeconfig.as_deref()));
    }
    Ok(())
}

/// Errors for a context that was there before `rolecall import`: it is the user's own.
fn check_not_converted(contexts: &[String]) -> Result<(), CliError> {
    let Some(context) = contexts.first() else { return Ok(()) };
    let message = format!("the context {} was there before rolecall import", sanitize_for_terminal(context));
    let hint = "Restore it with: rolecall import --undo. Or keep it with --keep-context, or remove it too with --delete-context";
    Err(CliError::failed(message, hint).nothing_written())
}

fn check_known(wanted: &[ProfileName], known: &[String]) -> Result<(), CliError> {
    let Some(unknown) = wanted.iter().find(|name| !known.iter().any(|known| known == name.as_str())) else {
        return Ok(());
    };
    let alike = similar_names(unknown.as_str(), known.iter().map(String::as_str));
    let hint = match alike.as_slice() {
        [] => "Nothing was removed. See the profiles with: rolecall list".to_owned(),
        alike => format!("Nothing was removed. Did you mean {}?", alike.join(" or ")),
    };
    Err(CliError::failed(format!("there is no profile \"{unknown}\""), hint))
}

/// What happened to the context, as the end of the line "removed the profile NAME".
fn context_text(name: &ProfileName, outcome: &RemoveOutcome, looked_in: &Files) -> String {
    let removal = outcome.profiles.iter().find(|(profile, _)| profile == name.as_str()).map(|(_, removal)| *removal);
    match removal {
        Some(Removal::Removed) => {
            format!(" and its context (in {})", list(&outcome.written.files))
        }
        Some(Removal::OnlyClusterAndUser) => {
            format!(" and its cluster and user (in {}); its context was removed before", list(&outcome.written.files))
        }
        Some(Removal::ContextStays) => format!(
            " and its cluster and user (in {}); the context {name} was changed by another program and stays",
            list(&outcome.written.files)
        ),
        Some(Removal::NotOurs) => format!("; the context {name} is not Rolecall's and stays"),
        // The context may be in another kubeconfig.
        Some(Removal::NotFound) => format!("; no context {name} in {}", list(looked_in.paths())),
        None => String::new(),
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| display_path(file)).collect::<Vec<_>>().join(", ")
}

fn print_context_notes(outcome: &RemoveOutcome, option: &str) {
    if let Some(gone) = &outcome.unset_current {
        output::print_note(&format!("{gone} was your current context. Choose another: rolecall use NAME{option}"));
    }
    let stays = |name: &str| {
        outcome
            .profiles
            .iter()
            .any(|(profile, removal)| profile == name && matches!(removal, Removal::ContextStays | Removal::NotOurs))
    };
    if let Some(current) = outcome.current_context.as_deref().filter(|current| stays(current)) {
        output::print_note(&format!("{current} is still your current context, and it is not Rolecall's"));
    }
    for context in &outcome.left_dangling {
        output::print_note(&format!("the context {context} was made from one that is gone, and no longer works"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_known_unknown_name_has_similar() {
        let known = ["prod".to_owned(), "staging".to_owned()];
        let result_text = |names: &[&str]| {
            let names: Vec<ProfileName> = names.iter().map(|name| name.parse().unwrap()).collect();
            check_known(&names, &known).map_err(|error| error.to_string())
        };
        assert_eq!(result_text(&["prod", "staging"]), Ok(()));
        assert_eq!(
            result_text(&["prod", "stagin"]).unwrap_err(),
            "there is no profile \"stagin\". Nothing was removed. Did you mean staging?"
        );
        assert!(result_text(&["zebra"]).unwrap_err().ends_with("rolecall list"));
    }
}
