//! The arguments of `rolecall kubeconfig`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};
use rolecall_protocol::ProfileName;

/// Write or refresh kubeconfig contexts
///
/// Asks AWS for each cluster's API server and certificate authority. Only Rolecall's own entries are touched; comments
/// and the order of the file stay. A server or certificate authority other than the pinned one is refused. Each entry gets
/// the profile's entry key, which shows rolecall token that the entry is yours.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // they are options, named as they are typed
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]), after_help = "\
Examples:
  Write every profile's context:
    rolecall kubeconfig --all

  A kubeconfig of its own for one cluster:
    rolecall kubeconfig prod --print > prod.yaml

  After a cluster was recreated under the same name:
    rolecall kubeconfig prod --repin")]
pub(crate) struct Kubeconfig {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Every profile
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a complete kubeconfig instead of changing one
    #[arg(long, conflicts_with_all = ["kubeconfig", "make_current"])]
    pub(crate) print: bool,
    /// Accept a changed server or certificate authority as the new pin
    #[arg(long)]
    pub(crate) repin: bool,
    /// Make it the current context (of several profiles, the first)
    #[arg(long = "use", conflicts_with = "all")]
    pub(crate) make_current: bool,
    /// The kubeconfig to write [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}
