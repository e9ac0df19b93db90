//! The arguments of `rolecall rename`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use rolecall_protocol::ProfileName;

/// Give a profile and its kubeconfig context another name
///
/// The settings, the session, what you added to the context, and the current context stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rolecall rename prod prod-eu")]
pub(crate) struct Rename {
    /// The profile
    #[arg(value_name = "OLD")]
    pub(crate) name: ProfileName,
    /// Its new name
    #[arg(value_name = "NEW")]
    pub(crate) new_name: ProfileName,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}
