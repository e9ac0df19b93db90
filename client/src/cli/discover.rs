//! `rolecall discover`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use rolecall_protocol::{Region, SourceName};

use super::Output;

/// Search for clusters, and add those that you choose
///
/// The search uses the configured sources, and the AWS profiles of AWS's own files that no source names, in the regions that the
/// configuration and these files name. For each cluster it shows whether its API server can be reached and accepts the identity.
/// With --permission-sets it also uses every role that the logins to IAM Identity Center list; a chosen role gets an AWS profile in
/// AWS's config file. Clusters that have a profile already are not offered.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // they are options, named as they are typed
#[command(after_help = "\
Examples:
  Search, and choose on the terminal:
    rolecall discover

  Everything that the login to IAM Identity Center reaches, in two regions:
    rolecall discover --permission-sets --region eu-west-1 --region us-east-2

  Add every cluster of one AWS profile without questions:
    rolecall discover --aws-profile work --all-regions --yes")]
pub(crate) struct Discover {
    /// Search with this source only; repeat it for several
    #[arg(long = "source", value_name = "SOURCE", help_heading = "Where to search")]
    pub(crate) sources: Vec<SourceName>,
    /// Search with this AWS profile only; repeat it for several
    #[arg(long = "aws-profile", value_name = "PROFILE", help_heading = "Where to search")]
    pub(crate) aws_profiles: Vec<String>,
    /// Search this region only; repeat it for several
    #[arg(long = "region", value_name = "REGION", conflicts_with = "all_regions", help_heading = "Where to search")]
    pub(crate) regions: Vec<Region>,
    /// Search every region
    #[arg(long, help_heading = "Where to search")]
    pub(crate) all_regions: bool,
    /// Search with every role that the logins to IAM Identity Center list
    #[arg(long, help_heading = "Where to search")]
    pub(crate) permission_sets: bool,
    /// Of IAM Identity Center, search this account only; repeat it for several
    #[arg(long = "account", value_name = "ID", value_parser = account, requires = "permission_sets", help_heading = "Where to search")]
    pub(crate) accounts: Vec<String>,
    /// Of IAM Identity Center, search with the roles of this name only; repeat it for several
    #[arg(long = "role-name", value_name = "NAME", requires = "permission_sets", help_heading = "Where to search")]
    pub(crate) role_names: Vec<String>,

    /// Add only the clusters whose name matches; * stands for any text; repeat it for several
    #[arg(long = "only", value_name = "PATTERN", help_heading = "What to add")]
    pub(crate) only: Vec<String>,
    /// The names of new profiles; {cluster}, {region}, {account} and {role} are filled in
    #[arg(long, value_name = "TEMPLATE", value_parser = template, default_value = "{cluster}", help_heading = "What to add")]
    pub(crate) name: String,
    /// Add every new cluster that accepts you, without a question
    #[arg(short, long, conflicts_with = "dry_run", help_heading = "What to add")]
    pub(crate) yes: bool,
    /// Show what would be added
    #[arg(long, help_heading = "What to add")]
    pub(crate) dry_run: bool,
    /// The kubeconfig to write [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to add")]
    pub(crate) kubeconfig: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// The parts of a template that are filled in.
pub(crate) const TEMPLATE_PARTS: [&str; 4] = ["{cluster}", "{region}", "{account}", "{role}"];

fn account(text: &str) -> Result<String, String> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_id { Ok(text.to_owned()) } else { Err("an account id has 12 digits".to_owned()) }
}

/// Checks that a template becomes a valid name, and that it names the cluster.
fn template(text: &str) -> Result<String, String> {
    if !text.contains("{cluster}") {
        return Err("must hold {cluster}".to_owned());
    }
    let filled = TEMPLATE_PARTS.iter().fold(text.to_owned(), |text, part| text.replace(part, "x"));
    filled.parse::<rolecall_protocol::ProfileName>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}
