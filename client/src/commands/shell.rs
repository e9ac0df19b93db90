//! `rolecall shell NAME`: a shell with a kubeconfig of its own.

mod startup;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use owo_colors::OwoColorize;
use rolecall_protocol::{location, sanitize_for_terminal};

use crate::cli::Shell;
use crate::context::Context;
use crate::error::CliError;
use crate::private_kubeconfig::PrivateKubeconfig;
use crate::terminal::child;
use crate::{output, protected};

/// The shell of a user without `SHELL`.
const DEFAULT_SHELL: &str = "/bin/sh";

/// Replaces this process by the user's shell. Returns only with an error.
pub(crate) fn run(wanted: &Shell, context: &Context) -> Result<(), CliError> {
    protected::confirm(&wanted.name, wanted.yes)?;
    let outside = location::private_kubeconfig().and(location::profile());
    let kubeconfig = PrivateKubeconfig::create(&wanted.name, wanted.namespace.as_ref())?;
    let program = user_shell(context.environment.get("SHELL"));
    let mut command = Command::new(&program);
    kubeconfig.set_variables(&mut command);
    command.env(location::SHELL_LEVEL_VARIABLE, (location::shell_level() + 1).to_string());
    startup::keep_variables(&mut command, &program, &kubeconfig, &context.environment)?;
    if let Some(outside) = outside {
        output::print_note(&format!("you are already in a shell of {outside}; exit returns to it"));
    }
    let name = if protected::is_protected(wanted.name.as_str()) {
        wanted.name.red().bold().to_string()
    } else {
        wanted.name.bold().to_string()
    };
    let namespace = kubeconfig.namespace.as_deref().map(|namespace| format!(", namespace {namespace}"));
    let namespace = sanitize_for_terminal(&namespace.unwrap_or_default());
    output::print_styled_note(&format!("shell of {name}{namespace}; leave it with: exit"));
    Err(child::replace_process(&mut command))
}

/// The user's shell: `SHELL` if it is an absolute path.
fn user_shell(variable: Option<&OsStr>) -> PathBuf {
    variable.map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or_else(|| Path::new(DEFAULT_SHELL).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_shell_is_absolute() {
        assert_eq!(user_shell(Some("/usr/bin/fish".as_ref())), Path::new("/usr/bin/fish"));
        for variable in [None, Some("zsh".as_ref())] {
            assert_eq!(user_shell(variable), Path::new("/bin/sh"));
        }
    }
}
