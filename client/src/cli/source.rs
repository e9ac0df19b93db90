//! `rolecall source …`.

use clap::{Args, Subcommand};
use rolecall_protocol::SourceName;

use super::Output;

/// List, show or remove the sources of base credentials
///
/// A source names an AWS profile, or an access key in the OS keyring. Profiles share it, and you log in to it once for all
/// of them. `rolecall add` adds sources.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Source {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: SourceAction,
}

/// What can be done with sources.
#[derive(Debug, Subcommand)]
pub(crate) enum SourceAction {
    /// List the sources, their logins and the profiles that use them
    #[command(visible_alias = "ls")]
    List(Output),
    /// Show everything about one source
    Show {
        /// The source
        name: SourceName,
        #[command(flatten)]
        output: Output,
    },
    /// Remove sources that no profile uses from the configuration
    ///
    /// The AWS profile or the access key stays where it is.
    #[command(visible_alias = "rm")]
    Remove {
        /// The sources
        #[arg(required = true, value_name = "NAME")]
        names: Vec<SourceName>,
    },
}
