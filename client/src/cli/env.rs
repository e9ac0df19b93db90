//! What `env` takes.

use clap::{Args, ValueEnum};
use rolecall_protocol::ProfileName;

/// Print a profile's session as environment variables
///
/// The variables are valid until the session expires; a comment says when. For programs that run longer, use: rolecall exec --server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sh, bash, zsh:  eval \"$(rolecall env prod)\"
  fish:           rolecall env prod --shell fish | source
  PowerShell:     rolecall env prod --shell powershell | Out-String | Invoke-Expression
  Undo it:        eval \"$(rolecall env --unset)\"")]
pub(crate) struct Env {
    /// The profile
    #[arg(required_unless_present = "unset")]
    pub(crate) name: Option<ProfileName>,
    /// The shell, or json [default: fish if SHELL is fish, else sh]
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(crate) shell: Option<ShellSyntax>,
    /// Print commands that remove the variables
    #[arg(long, conflicts_with = "name")]
    pub(crate) unset: bool,
    /// Print the session even if standard output is a terminal
    #[arg(long)]
    pub(crate) force: bool,
}

/// How variables are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellSyntax {
    /// sh, bash, zsh and other shells of POSIX
    Sh,
    Fish,
    Powershell,
    /// An object with the variables, for programs
    Json,
}
