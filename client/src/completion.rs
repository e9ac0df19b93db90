//! Completes a command line for the user's shell: commands, options, and the names in the user's files.
//!
//! The script of `rolecall completions` runs this program with [`VARIABLE`] set to the shell's name. It reads files only:
//! it never calls the daemon, since a shell waits for it at every Tab.

use std::any::TypeId;
use std::ffi::OsString;

use clap::{CommandFactory, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{EnvCompleter, Shells};
use rolecall_protocol::{KNOWN_REGIONS, KeyName, ProfileName, Region, SourceName, location};

use crate::aws_profiles;
use crate::cli::{Cli, ContextName};
use crate::config_file::ConfigFile;
use crate::error::{CliError, Exit};
use crate::kubeconfig::{self, context_entry};

/// The environment variable with the name of the shell that asks for a completion.
pub(crate) const VARIABLE: &str = "ROLECALL_COMPLETE";
/// The access policies of EKS for users.
pub(crate) const USER_POLICIES: [&str; 6] = [
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
    "AmazonEKSSecretReaderPolicy",
];

/// The script that makes a shell complete `rolecall`.
pub(crate) fn script(shell: clap_complete::Shell) -> Result<Vec<u8>, CliError> {
    let shell = shell.to_string();
    let mut script = Vec::new();
    completer(&shell)?
        .write_registration(VARIABLE, "rolecall", "rolecall", "rolecall", &mut script)
        .map_err(|error| failed(&error.to_string()))?;
    if shell == "zsh" {
        // zsh loads the script as the function `_rolecall` at the first Tab, and expects candidates from that call too.
        script.extend(b"if [[ \"${funcstack[1]}\" == _rolecall ]]; then _clap_dynamic_completer_rolecall \"$@\"; fi\n");
    }
    Ok(script)
}

/// The candidates for a command line of this program, as the script of the shell expects them. `arguments` has this
/// program, `--`, and the words of the line.
pub(crate) fn complete(shell: &str, arguments: Vec<OsString>) -> Result<Vec<u8>, CliError> {
    // The library asks the password database for `~` if HOME is not set, which crashes a static program.
    location::home()?;
    let mut candidates = Vec::new();
    let words = arguments.into_iter().skip_while(|word| word != "--").skip(1).collect();
    let folder = std::env::current_dir().ok();
    completer(shell)?
        .write_complete(&mut with_candidates(Cli::command()), words, folder.as_deref(), &mut candidates)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(candidates)
}

fn completer(shell: &str) -> Result<&'static dyn EnvCompleter, CliError> {
    const SHELLS: Shells<'static> = Shells::builtins();
    let found = SHELLS.0.iter().find(|known| known.is(shell));
    found.copied().ok_or_else(|| failed(&format!("unknown shell {shell}")))
}

fn failed(cause: &str) -> CliError {
    CliError::new(Exit::Usage, format!("cannot complete: {cause}"), "Install the script of: rolecall completions SHELL")
}

/// The command with the candidates of every value that is a name. Values that are neither names nor files have none.
fn with_candidates(command: clap::Command) -> clap::Command {
    let candidates = move |arg: clap::Arg| {
        let kind = arg.get_value_parser().type_id();
        match () {
            () if !arg.get_action().takes_values() => arg,
            () if kind == TypeId::of::<ContextName>() => arg.add(from(context_names)),
            () if kind == TypeId::of::<ProfileName>() => arg.add(from(profile_names)),
            () if kind == TypeId::of::<SourceName>() => arg.add(from(source_names)),
            () if kind == TypeId::of::<KeyName>() => arg.add(from(key_names)),
            () if kind == TypeId::of::<Region>() => arg.add(from(region_names)),
            () if arg.get_id() == "aws_profile" => arg.add(from(aws_profiles::names)),
            () if arg.get_id() == "policy" && arg.get_value_hint() == ValueHint::Unknown => arg.add(from(policy_names)),
            () if arg.get_value_hint() == ValueHint::Unknown => arg.value_hint(ValueHint::Other),
            () => arg,
        }
    };
    command.mut_args(candidates).mut_subcommands(with_candidates)
}

fn from(names: fn() -> Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || names().into_iter().map(CompletionCandidate::new).collect::<Vec<_>>())
}

fn config() -> Option<ConfigFile> {
    let path = location::config().ok()?;
    ConfigFile::load(&path).ok()
}

fn profile_names() -> Vec<String> {
    config().map(|config| config.all_profile_names()).unwrap_or_default()
}

fn source_names() -> Vec<String> {
    config()
        .map(|config| config.source_names().into_iter().chain(config.included_sources().into_keys()).collect())
        .unwrap_or_default()
}

fn key_names() -> Vec<String> {
    config().map(|config| config.keyring_names()).unwrap_or_default()
}

/// The regions of the user's profiles first.
fn region_names() -> Vec<String> {
    let own = config().into_iter().flat_map(|config| {
        let regions = config.profile_names().into_iter().filter_map(|name| config.profile(&name));
        regions.map(|profile| profile.region.to_string()).collect::<Vec<_>>()
    });
    let mut names = Vec::new();
    for region in own.chain(KNOWN_REGIONS.map(str::to_owned)) {
        if !names.contains(&region) {
            names.push(region);
        }
    }
    names
}

/// The shell waits, so EKS is not asked for other policies.
fn policy_names() -> Vec<String> {
    USER_POLICIES.map(str::to_owned).to_vec()
}

/// The contexts of the kubeconfig that can be the argument of `rolecall use`.
fn context_names() -> Vec<String> {
    let contexts = context_entry::files(None).and_then(|files| Ok(kubeconfig::contexts(&files)?)).unwrap_or_default();
    let names = contexts.into_iter().map(|context| context.name).filter(|name| name.parse::<ContextName>().is_ok());
    // The context of a profile may have another name, which `use` finds by the profile.
    let mut names: Vec<String> = names.collect();
    names.extend(profile_names());
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_only_for_names_and_files() {
        let command = with_candidates(Cli::command());
        command.clone().debug_assert();
        let add = command.find_subcommand("add").unwrap();
        let arg = |name: &str| add.get_arguments().find(|arg| arg.get_id() == name).unwrap();
        for file in ["certificate_authority", "kubeconfig", "policy"] {
            assert_eq!(arg(file).get_value_hint(), ValueHint::FilePath, "{file}");
        }
        for name in ["name", "aws_profile", "source", "keyring", "region"] {
            assert!(arg(name).get::<ArgValueCandidates>().is_some(), "{name}");
        }
        for other in ["cluster", "role_arn", "server", "duration", "tag", "policy_arn"] {
            assert_eq!(arg(other).get_value_hint(), ValueHint::Other, "{other}");
        }
        assert_eq!(arg("replace").get_value_hint(), ValueHint::Unknown);
    }

    #[test]
    fn candidates_of_access_policies_and_files() {
        let command = with_candidates(Cli::command());
        let grant = command.find_subcommand("access").and_then(|access| access.find_subcommand("grant")).unwrap();
        let arg = |name: &str| grant.get_arguments().find(|arg| arg.get_id() == name).unwrap();
        for name in ["profile", "policy"] {
            assert!(arg(name).get::<ArgValueCandidates>().is_some(), "{name}");
        }
        assert_eq!(arg("from").get_value_hint(), ValueHint::FilePath);
        assert!(policy_names().contains(&"AmazonEKSViewPolicy".to_owned()));
    }

    #[test]
    fn script_of_each_shell_calls_back() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = String::from_utf8(script(shell.parse().unwrap()).unwrap()).unwrap();
            assert!(script.contains(VARIABLE) && script.contains("rolecall"), "{shell}: {script}");
        }
        assert_eq!(complete("dosbox", vec![]).unwrap_err().code(), 2);
    }
}
