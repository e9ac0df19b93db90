//! The arguments of `rolecall status`.

use clap::Args;
use rolecall_protocol::ProfileName;

use super::Output;

/// Show every profile's session, and what is wrong
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Watch the sessions; q ends it:
    rolecall status --watch

  A line of JSON for every change, for a program:
    rolecall status --watch -o json")]
pub(crate) struct Status {
    /// The profiles [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Keep running, and show every change as it happens
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
