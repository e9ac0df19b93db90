//! `rolecall use [NAME]`: makes a context the current one.

mod previous;

use rolecall_protocol::{Hint, Namespace, join_sentences, location, sanitize_for_terminal, similar_names};

use crate::cli::{ContextName, Use};
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, kubeconfig_option, print_notes};
use crate::kubeconfig::{self, Files, KubeconfigError, UseOutcome};
use crate::protected;
use crate::terminal::pick::{Choice, pick};

/// Sets the current context, and prints the previous one.
pub(crate) fn run(wanted: &Use, context: &Context) -> Result<(), CliError> {
    let own_file = location::private_kubeconfig().filter(|_| wanted.kubeconfig.is_none());
    let files = match &own_file {
        Some(path) => Files::one(path)?,
        None => files(wanted.kubeconfig.as_deref())?,
    };
    let name = match (wanted.name.as_ref().map(ContextName::as_str), &wanted.namespace) {
        (Some("-"), _) | (None, None) if own_file.is_some() => return Err(inside_shell()),
        (Some("-"), _) => previous::read()?,
        (Some(name), _) => name.to_owned(),
        (None, Some(_)) => current_context(&files)?,
        (None, None) => choose(&files, context)?,
    };
    let namespace = wanted.namespace.as_ref().map(Namespace::as_str);
    let outcome = match kubeconfig::use_context(&files, &name, namespace) {
        Ok(outcome) => outcome,
        Err(KubeconfigError::UnknownContext { .. }) if own_file.is_some() => return Err(inside_shell()),
        Err(ref error @ KubeconfigError::UnknownContext { similar: ref alike, .. }) => {
            let option = kubeconfig_option(wanted.kubeconfig.as_deref());
            let hint = unknown_context_hint(&name, &with_profiles(alike, &name), is_configured(&name), &option);
            return Err(CliError::failed(error.to_string(), hint));
        }
        Err(error) => return Err(error.into()),
    };
    let previous = outcome.previous.as_deref();
    if let Some(previous) = previous.filter(|previous| *previous != outcome.context && own_file.is_none()) {
        previous::save(previous);
    }
    print_notes(&outcome.written.notes);
    context.print_done(&done_text(&name, namespace, &outcome, own_file.is_some()))?;
    if protected::is_protected(&name) {
        protected::print_warning(&sanitize_for_terminal(&name));
    }
    Ok(())
}

fn done_text(name: &str, namespace: Option<&str>, outcome: &UseOutcome, is_inside: bool) -> String {
    let name_text = match sanitize_for_terminal(name) {
        name if name == outcome.context => name,
        // The entries of a profile may have other names.
        name => format!("{name} (context {})", sanitize_for_terminal(&outcome.context)),
    };
    let file = display_path(&outcome.file);
    let namespace = namespace.map(|namespace| format!(", namespace {namespace}")).unwrap_or_default();
    match outcome.previous.as_deref() {
        _ if is_inside => format!("{name_text}{namespace}, in this shell alone"),
        Some(previous) if previous == outcome.context && namespace.is_empty() => {
            format!("{name_text} is your current context already ({file})")
        }
        Some(previous) if previous == outcome.context => {
            format!("{name_text} is your current context ({file}){namespace}")
        }
        Some(previous) => {
            let previous = sanitize_for_terminal(previous);
            format!("{name_text} is now your current context in {file} (it was {previous}){namespace}")
        }
        None => format!("{name_text} is now your current context in {file}{namespace}"),
    }
}

/// The error for another context inside a shell of Rolecall.
fn inside_shell() -> CliError {
    let profile = location::profile();
    let name = profile.as_ref().map_or("one profile", |profile| profile.as_str());
    CliError::failed(
        format!("this is a shell of {name}, whose kubeconfig has that context alone"),
        "Leave it with: exit; or open another with: rolecall shell NAME",
    )
    .nothing_written()
}

/// The name of the current context.
fn current_context(files: &Files) -> Result<String, CliError> {
    let contexts = kubeconfig::contexts(files)?;
    let current = contexts.into_iter().find(|context| context.is_current);
    current.map(|context| context.name).ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            "there is no current context to set a namespace of",
            Hint::command("rolecall use NAME -n NAMESPACE"),
        )
    })
}

/// Lets the user choose a context: those of Rolecall's profiles first, then those of other tools.
fn choose(files: &Files, context: &Context) -> Result<String, CliError> {
    let mut contexts = kubeconfig::contexts(files)?;
    contexts.sort_by_key(|context| context.profile.is_none());
    if contexts.is_empty() {
        return Err(CliError::failed(
            "there are no contexts to choose from",
            "Begin with: rolecall import, rolecall discover or rolecall add",
        ));
    }
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let choices: Vec<Choice> = contexts
        .iter()
        .map(|context| {
            let profile = context.profile.as_deref();
            let entry = config.as_ref().zip(profile).and_then(|(config, name)| config.profile_in_force(name));
            let detail = entry.map(|entry| {
                let role = entry.role_arn.as_ref().map(|role| format!(", {}", role.role_name())).unwrap_or_default();
                format!("{} in {}{role}", entry.cluster, entry.region)
            });
            // ARNs of clusters differ at their end, which a narrow list cuts off.
            let is_only = contexts.iter().filter(|other| other.profile == context.profile).count() == 1;
            let short = profile.filter(|_| is_only && context.name.starts_with("arn:"));
            Choice {
                name: short.unwrap_or(&context.name).to_owned(),
                detail: detail.unwrap_or_default(),
                is_current: context.is_current,
                is_protected: config.as_ref().zip(profile).is_some_and(|(config, name)| config.is_protected(name)),
            }
        })
        .collect();
    let picked = pick("Context:", &choices, &context.environment).map_err(|error| match error.code() {
        code if code == Exit::Usage as u8 => {
            error.with_hint("Run: rolecall use NAME; see the names with: rolecall list")
        }
        _ => error,
    })?;
    contexts.into_iter().nth(picked).map(|context| context.name).ok_or_else(|| CliError::silent(Exit::Bug as u8))
}

/// Similar names of contexts, and of profiles whose contexts have other names.
fn with_profiles(alike: &[String], name: &str) -> Vec<String> {
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    let profiles = config.map(|config| config.all_profile_names()).unwrap_or_default();
    let similar = similar_names(name, profiles.iter().map(String::as_str)).into_iter().map(str::to_owned);
    let new = similar.filter(|profile| profile != name && !alike.contains(profile));
    alike.iter().cloned().chain(new.collect::<Vec<_>>()).collect()
}

/// The hint for an unknown context: similar names, and how to write the context of a profile.
fn unknown_context_hint(name: &str, alike: &[String], is_profile: bool, option: &str) -> String {
    let did_you_mean = format!("Did you mean {}?", alike.join(" or "));
    match (alike, is_profile) {
        ([], false) => "There is no profile of that name either; see: rolecall list".to_owned(),
        (_, false) => did_you_mean,
        ([], true) => {
            format!("Write that of the profile {name} with: rolecall kubeconfig {name} --use{option}")
        }
        (_, true) => {
            let write = format!("Or write that of the profile {name} with: rolecall kubeconfig {name} --use{option}");
            join_sentences(&did_you_mean, Some(&write))
        }
    }
}

/// Whether the profile exists. False if the configuration cannot be read, since this only improves a hint.
fn is_configured(name: &str) -> bool {
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    config.is_some_and(|config| {
        config.all_profile_names().iter().any(|known| known == name) || config.included_from(name).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_context_hint_names_similar() {
        let result_text = |alike: &[&str], is_profile, option| {
            let alike: Vec<String> = alike.iter().map(|name| (*name).to_owned()).collect();
            unknown_context_hint("nix", &alike, is_profile, option)
        };
        assert_eq!(result_text(&[], true, ""), "Write that of the profile nix with: rolecall kubeconfig nix --use");
        assert_eq!(
            result_text(&["nixos", "nip"], true, " --kubeconfig k"),
            "Did you mean nixos or nip? Or write that of the profile nix with: rolecall kubeconfig nix --use --kubeconfig k"
        );
        assert_eq!(result_text(&[], false, ""), "There is no profile of that name either; see: rolecall list");
        assert_eq!(result_text(&["nixos"], false, ""), "Did you mean nixos?");
    }
}
