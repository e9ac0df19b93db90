//! The arguments of `rolecall list`.

use clap::Args;

use super::Output;

/// List the profiles
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct List {
    /// Names alone, one a line
    #[arg(short, long, conflicts_with_all = ["output", "json", "wide"])]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
