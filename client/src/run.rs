//! Runs the command that the user asked for.

use rolecall_protocol::location;

use crate::cli::{Cli, Command};
use crate::commands;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Runs the command.
pub(crate) fn run(cli: Cli, context: &Context) -> Result<(), CliError> {
    if location::exec_info().is_some() && !matches!(cli.command, Command::Token(_)) {
        return Err(not_a_plugin());
    }
    if cli.verbose {
        output::be_verbose();
    }
    match cli.command {
        Command::Add(wanted) => commands::add::run(&wanted, context),
        Command::Import(wanted) => commands::import::run(&wanted, context),
        Command::List(wanted) => commands::list::run(&wanted, context),
        Command::Show(wanted) => commands::show::run(&wanted, context),
        Command::Remove(wanted) => commands::remove::run(&wanted, context),
        Command::Rename(wanted) => commands::rename::run(&wanted, context),
        Command::Source(wanted) => commands::source::run(&wanted.action, context),
        Command::Config(wanted) => commands::config::run(&wanted.action, context),
        Command::Use(wanted) => commands::use_context::run(&wanted, context),
        Command::Shell(wanted) => commands::shell::run(&wanted, context),
        Command::Prompt(wanted) => commands::prompt::run(&wanted, context),
        Command::Kubeconfig(wanted) => commands::kubeconfig::run(&wanted, context),
        Command::Token(wanted) => commands::token::run(&wanted, context),
        Command::Access(wanted) => commands::access::run(&wanted.action, context),
        Command::Credentials(wanted) => commands::credentials::run(&wanted, context),
        Command::Exec(wanted) => commands::exec::run(&wanted, context),
        Command::Env(wanted) => commands::env::run(&wanted, context),
        Command::Status(wanted) => commands::status::run(&wanted, context),
        Command::Refresh(wanted) => commands::refresh::run(&wanted, context),
        Command::Login(wanted) => commands::login::run(&wanted, context),
        Command::Logout(wanted) => commands::logout::run(&wanted, context),
        Command::Lock(wanted) => commands::lock::run(&wanted, context),
        Command::Unlock(wanted) => commands::unlock::run(&wanted, context),
        Command::Completions(wanted) => commands::completions::run(&wanted),
        Command::Keys(wanted) => commands::keys::run(&wanted.action, context),
        Command::Audit(wanted) => commands::audit::run(&wanted, context),
        Command::Doctor(wanted) => commands::doctor::run(&wanted, context),
        Command::Agent(wanted) => commands::agent::run(&wanted.action, context),
    }
}

/// The error for another command than `token` that kubectl runs as its plugin: a kubeconfig could otherwise change the
/// pin, or start a daemon with a configuration of its author.
fn not_a_plugin() -> CliError {
    CliError::new(
        Exit::Usage,
        "KUBERNETES_EXEC_INFO is set, and kubectl runs no other command as its plugin than rolecall token",
        "Look at the arguments of the kubeconfig entry, or unset KUBERNETES_EXEC_INFO",
    )
}
