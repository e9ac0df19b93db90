//! The arguments of `rolecall refresh`.

use clap::{ArgGroup, Args};
use rolecall_protocol::ProfileName;

/// Get a new session now; if that fails, the current one stays
///
/// Calls AWS at once, also after an outage during which the agent has stopped trying.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]), after_help = "\
Examples:
  One profile:
    rolecall refresh prod

  Every profile, after a role was changed:
    rolecall refresh --all")]
pub(crate) struct Refresh {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
}
