//! What `exec` takes.

use std::ffi::OsString;

use clap::{Args, ValueHint};
use rolecall_protocol::{Namespace, ProfileName};

/// Run one command with a profile's session, for kubectl and AWS
///
/// The command gets the session in its environment, and a KUBECONFIG of its own that has the context of the profile alone. It
/// replaces rolecall, so signals, the terminal and the exit status are its own. Exit code 127: the command was not found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rolecall exec prod -- terraform plan
  rolecall exec prod --namespace web -- helm upgrade web ./chart

  A program that runs longer than a session, and reads new sessions from a local endpoint:
    rolecall exec prod --server -- ./sync-buckets")]
pub(crate) struct Exec {
    /// The profile
    pub(crate) name: ProfileName,
    /// The namespace of kubectl [default: that of the profile's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Serve the session on 127.0.0.1 while the command runs, instead of passing it in the environment
    #[arg(long)]
    pub(crate) server: bool,
    /// Do not ask if the profile is protected
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}
