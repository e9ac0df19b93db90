//! `rolecall config …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Check, edit, create or find the configuration file
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
    /// Include the profiles and sources of a file that a team shares
    ///
    /// The agent reads the file again when it changes. Rolecall never writes it. Your own profiles and sources override those
    /// of the same name. `*` in the last part of a path, in quotes, names all files that match.
    Include {
        /// The file
        #[arg(required = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
        paths: Vec<PathBuf>,
        /// Stop including it
        #[arg(long)]
        remove: bool,
    },
    /// Write a file that shows every setting as a comment, with its default and what it means
    ///
    /// An existing file is never changed.
    Init,
    /// Print the path of the file
    Path,
}
