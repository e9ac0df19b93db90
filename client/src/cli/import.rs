//! `rolecall import`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Output;

/// Convert existing contexts of other tools to Rolecall
///
/// Reads every kubeconfig in effect and finds the users that run aws eks get-token or aws-iam-authenticator, also in a shell, aws-vault,
/// granted, saml2aws or kube-credential-cache. Shows a plan and asks. Then it writes a profile for each and changes just those
/// users: contexts, clusters, namespaces and the current context stay. The API server and the certificate authority of the
/// kubeconfig become the pin. AWS is not called.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  See what would change:
    rolecall import --dry-run

  Convert two contexts without a question:
    rolecall import --only prod --only staging --yes

  Restore the users as they were before the last import:
    rolecall import --undo")]
pub(crate) struct Import {
    /// Convert only this context; repeat it for several
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) only: Vec<String>,
    /// The AWS profile of contexts that name none [default: default]
    #[arg(long, value_name = "PROFILE", value_parser = super::add::aws_profile)]
    pub(crate) aws_profile: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Restore the users that the last import changed, and remove the profiles that it made
    #[arg(long, conflicts_with_all = ["only", "aws_profile", "yes", "dry_run", "kubeconfig"])]
    pub(crate) undo: bool,
    /// The kubeconfig to convert [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}
