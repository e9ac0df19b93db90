//! `rolecall config …`.

use clap::{Args, Subcommand};

/// Check, edit or find the configuration file
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Config {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What can be done with the configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Check the file as the agent does, and name the line and the key that are wrong
    Check,
    /// Edit a copy with $VISUAL or $EDITOR, and replace the file if the copy is valid
    ///
    /// As visudo and crontab -e do it: the file in use never has a mistake, and a mistake can be corrected in the copy.
    Edit,
    /// Print the path of the file
    Path,
}
