//! `rolecall agent …`.

use clap::{Args, Subcommand};

use super::Output;

/// Start, stop, restart or inspect the daemon
///
/// Rarely needed: every command starts the daemon if it does not run.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Agent {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: AgentAction,
}

/// What can be done with the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentAction {
    /// Start it, unless it runs
    Start,
    /// Let it finish running calls, and stop it
    Stop,
    /// Restart it, for example after an upgrade; its sessions are kept
    Restart,
    /// Say whether it runs, and where things are (exit code 3 if it does not)
    Status(Output),
    /// Print the end of its log
    Logs {
        /// Go on as the log grows
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        lines: usize,
    },
}
