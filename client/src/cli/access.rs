//! `rolecall access …`.

mod plan;
mod via;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum, ValueHint};
use rolecall_protocol::{AuthenticationMode, ProfileName};

use super::Output;

pub(crate) use plan::{AccessPlanned, PlanFormat, Story};
pub(crate) use via::Via;

/// See, grant and revoke who may enter a cluster, and repair it
///
/// A cluster takes its users from access entries of EKS, from the ConfigMap aws-auth, or from both: its authentication mode
/// decides. The agent makes every call with the profile's own session.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Access {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: AccessAction,
}

/// What can be done with the access to a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessAction {
    List(AccessList),
    Explain(AccessExplain),
    Policies(AccessPolicies),
    Grant(AccessGrant),
    Revoke(AccessRevoke),
    Restore(AccessRestore),
    Lint(AccessLint),
    Migrate(AccessMigrate),
    Recover(AccessRecover),
    Plan(AccessPlanned),
}

/// List every IAM principal that can enter a cluster, and what is wrong
///
/// Shows the access entries and the mappings of aws-auth. A line that the cluster does not use has the reason in
/// parentheses.
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct AccessList {
    /// The profile
    pub(crate) profile: ProfileName,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Explain why a principal can or cannot enter, and what it may do inside
///
/// Without a principal, the profile's own role is explained.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["role", "user"]), after_help = "\
Examples:
  Why kubectl says Unauthorized or Forbidden:
    rolecall access explain prod

  Another role, in a namespace:
    rolecall access explain prod --role auditor --namespace web")]
pub(crate) struct AccessExplain {
    /// The profile
    pub(crate) profile: ProfileName,
    /// A role, by name or ARN
    #[arg(long, value_name = "NAME|ARN")]
    pub(crate) role: Option<String>,
    /// An IAM user, by name or ARN
    #[arg(long, value_name = "NAME|ARN")]
    pub(crate) user: Option<String>,
    /// The namespace of the questions to RBAC
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// List the access policies of EKS, and what each allows
#[derive(Debug, Args)]
pub(crate) struct AccessPolicies {
    /// The profile
    pub(crate) profile: ProfileName,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Who gets or loses access.
#[derive(Debug, Default, Args)]
#[command(group = ArgGroup::new("who").required(true).multiple(true).args(["role", "user", "from"]))]
pub(crate) struct Principals {
    /// Roles, by name or ARN. Without a value: the bare names in FILE are roles
    #[arg(long, value_name = "NAME|ARN", num_args = 0.., help_heading = "Who")]
    pub(crate) role: Option<Vec<String>>,
    /// IAM users, by name or ARN. Without a value: the bare names in FILE are users
    #[arg(long, value_name = "NAME|ARN", num_args = 0.., help_heading = "Who")]
    pub(crate) user: Option<Vec<String>>,
    /// A file with one principal a line: an ARN, role/NAME, user/NAME or a name; # begins a comment; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Who")]
    pub(crate) from: Option<PathBuf>,
}

/// How a change is made and reported.
#[derive(Debug, Default, Args)]
pub(crate) struct Confirm {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Let IAM roles and users enter a cluster
///
/// Shows a plan and asks before it changes anything. Principals that have the access already stay as they are, so the same
/// command can be repeated. A principal that is not valid is reported, and the others get their access.
#[derive(Debug, Args)]
#[command(
    override_usage = "rolecall access grant <PROFILE> <--role NAME|--user NAME|--from FILE> [OPTIONS]",
    after_help = "\
Examples:
  A role may read everything:
    rolecall access grant prod --role auditor --policy AmazonEKSViewPolicy

  The users in a file may edit two namespaces:
    rolecall access grant prod --user --from users.txt \\
        --policy AmazonEKSEditPolicy --namespace web --namespace api

  A role gets the rights that a ClusterRoleBinding gives to the group dev:
    rolecall access grant prod --role developers --group dev"
)]
pub(crate) struct AccessGrant {
    /// The profile
    pub(crate) profile: ProfileName,
    #[command(flatten)]
    pub(crate) who: Principals,
    /// Access policies of EKS, such as AmazonEKSViewPolicy; rolecall access policies lists them
    #[arg(long, value_name = "NAME", num_args = 1.., help_heading = "What they get")]
    pub(crate) policy: Vec<String>,
    /// The namespaces of the policies [default: the whole cluster]
    #[arg(short, long, value_name = "NAMESPACE", num_args = 1.., requires = "policy", help_heading = "What they get")]
    pub(crate) namespace: Vec<String>,
    /// Groups in Kubernetes, which role bindings name
    #[arg(long, value_name = "GROUP", num_args = 1.., help_heading = "What they get")]
    pub(crate) group: Vec<String>,
    /// The name of the user in Kubernetes [default: that of EKS]
    #[arg(long, value_name = "NAME", help_heading = "What they get")]
    pub(crate) username: Option<String>,
    /// Access entries or aws-auth [default: by the cluster's authentication mode]
    #[arg(long, value_enum)]
    pub(crate) via: Option<Via>,
    /// Also make a change that removes your own last way in or the last administrator, if you name it
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// Take access away from IAM roles and users
///
/// Shows a plan and asks before it changes anything. Refuses to remove your own last way in, and the last administrator,
/// unless --force is given and the principal is named.
#[derive(Debug, Args)]
#[command(
    override_usage = "rolecall access revoke <PROFILE> <--role NAME|--user NAME|--from FILE> [OPTIONS]",
    after_help = "\
Examples:
  The whole access of a role:
    rolecall access revoke prod --role contractor

  One policy of a user:
    rolecall access revoke prod --user alice --policy AmazonEKSAdminPolicy"
)]
pub(crate) struct AccessRevoke {
    /// The profile
    pub(crate) profile: ProfileName,
    #[command(flatten)]
    pub(crate) who: Principals,
    /// Take only these access policies away [default: the whole access]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) policy: Vec<String>,
    /// Only from access entries, or only from aws-auth [default: from both]
    #[arg(long, value_enum)]
    pub(crate) via: Option<Via>,
    /// Also remove your own last way in or the last administrator, if you name it
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// Put a backup of aws-auth back
///
/// Rolecall saves aws-auth before each change of it.
#[derive(Debug, Args)]
pub(crate) struct AccessRestore {
    /// The profile
    pub(crate) profile: ProfileName,
    /// The name of the backup [default: the newest one of the cluster]
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,
    /// Restore it even if your own role or the last administrator then has no access
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// Check an aws-auth before anyone applies it
///
/// Reads it as the authenticator in the cluster does, and exits with 1 if something in it does not work.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A file that is about to be applied:
    rolecall access lint aws-auth.yaml

  What the cluster has now:
    rolecall access lint prod")]
pub(crate) struct AccessLint {
    /// A file with the ConfigMap in YAML or JSON, - for standard input, or a profile
    #[arg(value_name = "FILE|PROFILE", value_hint = ValueHint::FilePath)]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// The authentication mode after a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Access entries alone
    Api,
    /// Access entries, and aws-auth for principals without one
    ApiAndConfigMap,
}

impl From<Mode> for AuthenticationMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Api => Self::Api,
            Mode::ApiAndConfigMap => Self::ApiAndConfigMap,
        }
    }
}

/// Turn the mappings of aws-auth into access entries
///
/// The mappings stay in aws-auth. The authentication mode changes only with --mode. EKS changes it in one direction only:
/// CONFIG_MAP, API_AND_CONFIG_MAP, API. It cannot be changed back.
#[derive(Debug, Args)]
pub(crate) struct AccessMigrate {
    /// The profile
    pub(crate) profile: ProfileName,
    /// Change the authentication mode; this cannot be undone
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Migrate even if your own role or the last administrator then has no access
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// Get back into a cluster that lets you in no longer
///
/// For a cluster whose aws-auth is broken or gone, or whose creator has left. Your role or user needs the IAM permissions
/// eks:UpdateClusterConfig and eks:CreateAccessEntry, and no access to the cluster. The command enables access entries if
/// needed, gives your role or user one with AmazonEKSClusterAdminPolicy, and checks that it enters.
#[derive(Debug, Args)]
pub(crate) struct AccessRecover {
    /// The profile
    pub(crate) profile: ProfileName,
    /// Afterwards, restore the newest valid backup of aws-auth, or write one with the roles of the nodes
    #[arg(long)]
    pub(crate) repair_aws_auth: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}
