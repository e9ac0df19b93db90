//! `rolecall doctor`.

use clap::Args;
use rolecall_protocol::ProfileName;

use super::Output;

/// Find what keeps kubectl from a cluster, and who can fix it
///
/// Checks this computer, and for each profile its source and login, the clock, the role chain, the token, the API server and what
/// the cluster answers. Each finding has its cause, its consequence in the words of kubectl, and the command that fixes it, or what to
/// ask of an administrator. Exit code: 0 without a problem, 1 with one, 3 if the agent cannot be reached, 5 if the first problem
/// needs a login or an unlock.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  One profile:
    rolecall doctor prod

  A message for the administrator who can fix it:
    rolecall doctor prod --for-admin

  Fix what is safe: file modes, stale contexts, our own kubeconfig entries:
    rolecall doctor --fix")]
pub(crate) struct Doctor {
    /// The profiles [default: all]
    #[arg(value_name = "PROFILE")]
    pub(crate) names: Vec<ProfileName>,
    /// Check only how this computer protects Rolecall
    #[arg(long, conflicts_with_all = ["names", "for_admin", "fix", "namespace"])]
    pub(crate) security: bool,
    /// Print only a message to send to an administrator
    #[arg(long, conflicts_with = "fix")]
    pub(crate) for_admin: bool,
    /// Fix what is safe, and check again. Never changes a pin, a login, the configuration or the entries of other tools
    #[arg(long)]
    pub(crate) fix: bool,
    /// Ask what the role may do in this namespace [default: default]
    #[arg(short, long, value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) output: Output,
}
