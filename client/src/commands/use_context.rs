//! `rolecall use NAME`: makes a profile's context the current one.

use rolecall_protocol::{ProfileName, join_sentences, location, sanitize_for_terminal};

use crate::cli::Use;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{files, kubeconfig_option, print_notes};
use crate::kubeconfig::{self, KubeconfigError};

/// Sets the current context, and prints the previous one.
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
    let file = display_path(&outcome.file);
    context.print_done(&match outcome.previous.as_deref().map(sanitize_for_terminal) {
        Some(previous) if previous == name => format!("{name} is your current context already ({file})"),
        Some(previous) => format!("{name} is now your current context in {file} (it was {previous})"),
        None => format!("{name} is now your current context in {file}"),
    })
}

/// The hint for an unknown context: similar names, and how to write the context of a profile.
fn unknown_context_hint(name: &ProfileName, alike: &[String], is_profile: bool, option: &str) -> String {
    let verb = if alike.is_empty() { "Write" } else { "Or write" };
    let profile = if is_profile {
        format!("{verb} that of the profile {name} with: rolecall kubeconfig {name} --use{option}")
    } else {
        "There is no profile of that name either; see: rolecall list".to_owned()
    };
    match alike {
        [] => profile,
        alike => join_sentences(&format!("Did you mean {}?", alike.join(" or ")), Some(&profile)),
    }
}

/// Whether the profile exists. False if the configuration cannot be read, since this only improves a hint.
fn is_configured(name: &ProfileName) -> bool {
    location::config().ok().and_then(|path| ConfigFile::load(&path).ok()).is_some_and(|config| {
        let own = config.profile_names().iter().any(|known| known == name.as_str());
        own || config.included_from(name.as_str()).is_some()
    })
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
