//! `rolecall completions SHELL`: generated from the definition of the command line, so it is always complete.

use clap::{CommandFactory, ValueHint};

use crate::cli::{Cli, Completions};
use crate::error::CliError;
use crate::output;

/// Prints the script.
pub(crate) fn run(wanted: &Completions) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut hinted(Cli::command()), "rolecall", &mut script);
    output::stdout_bytes(&script)
}

/// The command with a hint for every value that is not a file: without a hint, shells complete file names.
fn hinted(command: clap::Command) -> clap::Command {
    let hint = |arg: clap::Arg| match arg.get_value_hint() {
        ValueHint::Unknown if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    command.mut_args(hint).mut_subcommands(hinted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_offer_files_only_for_files() {
        let command = hinted(Cli::command());
        command.clone().debug_assert();
        let add = command.find_subcommand("add").unwrap();
        let hint = |name: &str| add.get_arguments().find(|arg| arg.get_id() == name).unwrap().get_value_hint();
        for file in ["certificate_authority", "kubeconfig", "policy"] {
            assert_eq!(hint(file), ValueHint::FilePath, "{file}");
        }
        for other in [
            "name",
            "aws_profile",
            "source",
            "cluster",
            "region",
            "role_arn",
            "server",
            "duration",
            "tag",
            "policy_arn",
        ] {
            assert_eq!(hint(other), ValueHint::Other, "{other}");
        }
        assert_eq!(hint("replace"), ValueHint::Unknown);
    }
}
