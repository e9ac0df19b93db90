//! The arguments of `rolecall remove`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use rolecall_protocol::ProfileName;

/// Remove profiles and their kubeconfig contexts
///
/// A source that no profile uses any more stays: it may hold settings that were made by hand.
#[derive(Debug, Args)]
#[command(visible_alias = "rm")]
pub(crate) struct Remove {
    /// The profiles
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Leave the kubeconfig as it is
    #[arg(long)]
    pub(crate) keep_context: bool,
    /// Also remove a context that was there before rolecall import
    #[arg(long, conflicts_with = "keep_context")]
    pub(crate) delete_context: bool,
    /// The kubeconfig to edit [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}
