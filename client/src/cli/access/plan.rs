//! `rolecall access plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use rolecall_protocol::ProfileName;

use super::via::Via;

/// Print what an administrator has to create, from nothing to kubectl
///
/// Prints commands or a template for this profile's cluster, region, account and role: the role with its trust policy, the
/// group that may assume it, the access entry, and the ClusterRole with its binding. Changes nothing.
#[derive(Debug, Args)]
#[command(
    override_usage = "rolecall access plan <PROFILE> [OPTIONS]",
    after_help = "\
Examples:
  A role that the users of a group assume:
    rolecall access plan prod

  Developers who list pods and read logs, and admins who may do everything, as a CloudFormation template:
    rolecall access plan prod --as teams --format cloudformation > access.yaml

  An access entry for each user in a file:
    rolecall access plan prod --as users --from users.txt --policy AmazonEKSEditPolicy"
)]
pub(crate) struct AccessPlanned {
    /// The profile
    pub(crate) profile: ProfileName,
    /// AWS CLI commands, or a template
    #[arg(long, value_enum, default_value = "cli")]
    pub(crate) format: PlanFormat,
    /// How people get in [default: role, or user for a profile without a role]
    #[arg(long = "as", value_enum, value_name = "STORY")]
    pub(crate) story: Option<Story>,
    /// The role [default: that of the profile]
    #[arg(long, value_name = "NAME|ARN")]
    pub(crate) role: Option<String>,
    /// The account of the cluster, 12 digits [default: that of the profile's role or session]
    #[arg(long, value_name = "ID", value_parser = account_id)]
    pub(crate) account: Option<String>,
    /// An IAM user who gets access; several are possible [default: that of the profile, if it is known]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) user: Vec<String>,
    /// A file with one IAM user a line; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
    /// The access policy of EKS [default: AmazonEKSViewPolicy]
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// The namespaces of the policy [default: the whole cluster]
    #[arg(short, long, value_name = "NAMESPACE", num_args = 1..)]
    pub(crate) namespace: Vec<String>,
    /// Access entries or aws-auth
    #[arg(long, value_enum, default_value = "access-entries")]
    pub(crate) via: Via,
}

fn account_id(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit());
    if is_account { Ok(text.to_owned()) } else { Err("an AWS account has 12 digits".to_owned()) }
}

/// What the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// Commands for a shell
    Cli,
    /// A template in YAML
    Cloudformation,
    /// A configuration in HCL
    Terraform,
}

/// How people get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Story {
    /// One IAM user, directly
    User,
    /// A role that the users of an IAM group assume
    Role,
    /// Two roles: developers list pods and read logs, admins may do everything
    Teams,
    /// Many IAM users, directly
    Users,
}
