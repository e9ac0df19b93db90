//! `rolecall exec NAME -- COMMAND`: one command with a profile's session.

use rolecall_protocol::Hint;
use std::process::Command;

use crate::aws_session::{SESSION_VARIABLES, get, other_variables, variables};
use crate::cli::Exec;
use crate::context::Context;
use crate::credential_server;
use crate::error::{CliError, Exit};
use crate::private_kubeconfig::PrivateKubeconfig;
use crate::protected;
use crate::terminal::child;

/// Replaces this process by the command. Returns only with an error.
pub(crate) fn run(wanted: &Exec, context: &Context) -> Result<(), CliError> {
    let Some((program, arguments)) = wanted.command.split_first() else {
        return Err(CliError::new(Exit::Usage, "no command was given", Hint::command("rolecall exec NAME -- COMMAND")));
    };
    protected::confirm(&wanted.name, wanted.yes)?;
    // Errors of the profile and of its constraints come before the command starts, also with `--server`.
    let credentials = get(&context.daemon()?, &wanted.name, &context.environment)?;
    let kubeconfig = PrivateKubeconfig::create(&wanted.name, wanted.namespace.as_ref())?;
    let mut command = Command::new(program);
    command.args(arguments);
    for name in other_variables().chain(SESSION_VARIABLES) {
        command.env_remove(name);
    }
    let is_passed = |name: &str| !wanted.server || !SESSION_VARIABLES.contains(&name);
    for (name, value) in variables(&credentials).into_iter().filter(|(name, _)| is_passed(name)) {
        command.env(name, value.as_ref());
    }
    if wanted.server {
        credential_server::start(&wanted.name, &kubeconfig, context)?.set_variables(&mut command, &kubeconfig)?;
    }
    kubeconfig.set_variables(&mut command);
    Err(child::replace_process(&mut command))
}
