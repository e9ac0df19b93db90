//! `rolecall use NAME`: makes a profile's context the current one.

use rolecall_protocol::{ProfileName, join_sentences, location};

use crate::cli::Use;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, kubeconfig_option, print_notes};
use crate::kubeconfig::{self, KubeconfigError};
use crate::output;

/// Sets the current context, and says which it was.
pub(crate) fn run(wanted: &Use, context: &Context) -> Result<(), CliError> {
    let files = files(wanted.kubeconfig.as_deref())?;
    let name = wanted.name.as_str();
    let outcome = match kubeconfig::use_context(&files, name) {
        Ok(outcome) => outcome,
        Err(ref error @ KubeconfigError::UnknownContext { similar: ref alike, .. }) => {
            let option = kubeconfig_option(wanted.kubeconfig.as_deref());
            let hint = unknown_context_hint(&wanted.name, alike, is_configured(&wanted.name), &option);
            return Err(CliError::failed(error.to_string(), hint));
        }
        Err(error) => return Err(error.into()),
    };
    print_notes(&outcome.written.notes);
    let tick = context.screen.tick();
    let file = display_path(&outcome.file);
    output::print(&match outcome.previous.as_deref() {
        Some(previous) if previous == name => format!("{tick} {name} is your current context already ({file})\n"),
        Some(previous) => {
            let previous = rolecall_protocol::sanitize_for_terminal(previous);
            format!("{tick} {name} is now your current context in {file} (it was {previous})\n")
        }
        None => format!("{tick} {name} is now your current context in {file}\n"),
    })
}

/// The hint for an unknown context: similar names, and how to write the context of a profile.
fn unknown_context_hint(name: &ProfileName, alike: &[String], is_profile: bool, option: &str) -> String {
    let meant = match alike {
        [] => None,
        alike => Some(format!("Did you mean {}?", alike.join(" or "))),
    };
    let profile = match (is_profile, &meant) {
        (true, None) => format!("Write that of the profile {name} with: rolecall kubeconfig {name} --use{option}"),
        (true, Some(_)) => {
            format!("Or write that of the profile {name} with: rolecall kubeconfig {name} --use{option}")
        }
        (false, _) => "There is no profile of that name either; see: rolecall list".to_owned(),
    };
    meant.map_or_else(|| profile.clone(), |meant| join_sentences(&meant, Some(&profile)))
}

/// Whether there is such a profile. Only for a better hint, so a configuration that cannot be read counts as no.
fn is_configured(name: &ProfileName) -> bool {
    location::config()
        .ok()
        .and_then(|path| ConfigFile::load(&path).ok())
        .is_some_and(|config| config.profile_names().iter().any(|known| known == name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_context_hint_names_similar() {
        let result_text = |alike: &[&str], is_profile, option| {
            let alike: Vec<String> = alike.iter().map(|name| (*name).to_owned()).collect();
            unknown_context_hint(&"nix".parse().unwrap(), &alike, is_profile, option)
        };
        assert_eq!(result_text(&[], true, ""), "Write that of the profile nix with: rolecall kubeconfig nix --use");
        assert_eq!(
            result_text(&["nixos", "nip"], true, " --kubeconfig k"),
            "Did you mean nixos or nip? Or write that of the profile nix with: rolecall kubeconfig nix --use --kubeconfig k"
        );
        assert_eq!(result_text(&[], false, ""), "There is no profile of that name either; see: rolecall list");
        assert!(result_text(&["nixos"], false, "").starts_with("Did you mean nixos? There is no profile"));
    }
}
