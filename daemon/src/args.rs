//! The command line.

use std::path::PathBuf;

use clap::Parser;
use rolecall_protocol::ProfileName;
use rolecalld::handover::FdArgs;
use rolecalld::log::Level;

/// Assumes the EKS roles of your profiles, keeps their sessions fresh in memory, and serves tokens to `rolecall`.
///
/// It is started by `rolecall` when needed, or by the service manager; there is rarely a reason to run it by hand.
#[derive(Debug, Parser)]
#[command(name = "rolecalld", version)]
pub(crate) struct Args {
    /// Where to listen [default: rolecall/agent.sock in the runtime folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// The configuration [default: rolecall/config.toml in the configuration folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,

    /// Log to this file rather than to standard error
    #[arg(long, value_name = "PATH")]
    pub(crate) log_file: Option<PathBuf>,

    /// How much to log; never holds secrets [default: ROLECALL_LOG_LEVEL, else info]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) log_level: Option<Level>,

    /// Leave the terminal's session
    #[arg(long)]
    pub(crate) detached: bool,

    /// Print one token, without a socket: `--once token NAME`
    #[arg(long, num_args = 2, value_names = ["COMMAND", "NAME"], value_parser = word, conflicts_with_all = ["socket", "detached"])]
    pub(crate) once: Option<Vec<Word>>,

    /// With --once: the client prints the token on a terminal; only rolecall passes it
    #[arg(long, hide = true, requires = "once")]
    pub(crate) to_terminal: bool,

    /// The descriptors of a restart; only rolecalld passes them to itself
    #[arg(long, hide = true, value_name = "NUMBERS", conflicts_with = "once")]
    pub(crate) handover: Option<FdArgs>,
}

/// A word of `--once`: `token`, or a profile's name; both have the same syntax.
pub(crate) type Word = ProfileName;

fn word(text: &str) -> Result<Word, rolecall_protocol::InvalidName> {
    text.parse()
}
