//! What `credentials` takes.

use std::path::PathBuf;

use clap::Args;
use rolecall_protocol::ProfileName;

/// Print a profile's session for the AWS CLI and AWS's SDKs
///
/// The output is the JSON of credential_process in ~/.aws/config. AWS's programs run the command again when the session expires.
/// A long-lived access key is never printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Add the AWS profile prod to ~/.aws/config, and use it:
    rolecall credentials prod --install
    aws --profile prod s3 ls

  Show what would be added:
    rolecall credentials prod --install prod-admin --print")]
pub(crate) struct Credentials {
    /// The profile
    pub(crate) name: ProfileName,
    /// Add an AWS profile to ~/.aws/config that runs this command [default name: NAME]
    #[arg(long, value_name = "AWS-PROFILE", num_args = 0..=1)]
    #[allow(clippy::option_option)] // the form in which clap gives an option whose value may be absent
    pub(crate) install: Option<Option<String>>,
    /// Print that AWS profile instead of adding it
    #[arg(long, requires = "install")]
    pub(crate) print: bool,
    /// Serve the session on 127.0.0.1 until the parent process ends, for rolecall exec --server
    #[arg(long, value_name = "TOKEN-FILE", hide = true, conflicts_with_all = ["install", "force"])]
    pub(crate) serve: Option<PathBuf>,
    /// Print the session even if standard output is a terminal
    #[arg(long, conflicts_with = "install")]
    pub(crate) force: bool,
}
