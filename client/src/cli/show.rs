//! The arguments of `rolecall show`.

use clap::{ArgGroup, Args};
use rolecall_protocol::ProfileName;

use super::Output;

/// Show everything about profiles
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]))]
pub(crate) struct Show {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
