//! What `shell` takes.

use clap::Args;
use rolecall_protocol::{Namespace, ProfileName};

/// Open a shell in which every kubectl uses this profile
///
/// Starts $SHELL (without it, /bin/sh) with a KUBECONFIG of its own that has the context of the profile alone. ROLECALL_PROFILE
/// holds the profile's name. The exit status is that of the shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Two terminals on two clusters:
    rolecall shell prod
    rolecall shell staging

  In one namespace:
    rolecall shell prod --namespace web

Leave it with exit. In it, rolecall use -n NAMESPACE sets its namespace.")]
pub(crate) struct Shell {
    /// The profile
    pub(crate) name: ProfileName,
    /// The namespace in this shell [default: that of the profile's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Do not ask if the profile is protected
    #[arg(short, long)]
    pub(crate) yes: bool,
}
