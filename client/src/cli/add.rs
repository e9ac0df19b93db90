//! `rolecall add`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use rolecall_protocol::{
    ClusterName, ExternalId, HttpUrl, KeyName, MfaSerial, ProfileName, Region, RoleArn, SessionName, SourceName,
    UrlError,
};

use super::Inputs;

/// Add a cluster: check it with AWS, and write its context
///
/// The role is assumed and the cluster described before anything is written. What is learned (the API server and its
/// certificate authority) becomes the profile's pin: a kubeconfig that names another server gets no token. Without NAME it asks for
/// the AWS profile, the region, the cluster, the role and the name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  Answer questions:
    rolecall add

  A cluster called prod, by a role that the AWS profile \"work\" may assume:
    rolecall add prod --region eu-west-1 --aws-profile work \\
        --role-arn arn:aws:iam::111122223333:role/developers

  The same cluster as an auditor, under another name, and make it the current context:
    rolecall add audit --cluster prod --region eu-west-1 --source work --use \\
        --role-arn arn:aws:iam::111122223333:role/auditor

  With keys of an IAM user, and codes of its MFA device:
    rolecall add prod --region eu-west-1 --keyring break-glass \\
        --mfa-serial arn:aws:iam::111122223333:mfa/dev \\
        --role-arn arn:aws:iam::111122223333:role/developers

  Through a hub account, with an external id:
    rolecall add edge --region us-east-2 --via arn:aws:iam::999988887777:role/hub \\
        --role-arn arn:aws:iam::444455556666:role/partner \\
        --external-id s3cret-handshake

  With a tag that the role's policy reads, and the rights of a managed policy at most:
    rolecall add shop --region eu-west-1 --tag team=shop \\
        --role-arn arn:aws:iam::111122223333:role/developers \\
        --policy-arn arn:aws:iam::aws:policy/ReadOnlyAccess

  Without asking AWS, for a role that may not describe its cluster:
    rolecall add lab --region eu-west-1 --no-verify \\
        --server https://ABCDEF.gr7.eu-west-1.eks.amazonaws.com \\
        --certificate-authority lab-ca.pem")]
pub(crate) struct AddArgs {
    /// The profile's name, which is also the name of its kubeconfig context; without it you are asked, on a terminal
    pub(crate) name: Option<ProfileName>,
    /// The cluster's region, such as eu-west-1 [default: that of the AWS profile]
    #[arg(long, help_heading = "The cluster")]
    pub(crate) region: Option<Region>,
    #[command(flatten)]
    pub(crate) options: AddOptions,
}

/// A complete `rolecall add`: what the user typed, and answered.
#[derive(Debug, Clone)]
pub(crate) struct Add {
    pub(crate) name: ProfileName,
    pub(crate) region: Region,
    pub(crate) options: AddOptions,
}

/// The options of `rolecall add` that have a default.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools)] // they are options, named as they are typed
pub(crate) struct AddOptions {
    /// The EKS cluster's name [default: NAME]
    #[arg(long, value_name = "CLUSTER", help_heading = "The cluster")]
    pub(crate) cluster: Option<ClusterName>,
    /// The role to assume; without it the source itself signs
    #[arg(long, value_name = "ARN", help_heading = "Who you are")]
    pub(crate) role_arn: Option<RoleArn>,
    /// The AWS profile (of ~/.aws/config) to assume it from [default: default]
    #[arg(long, value_name = "PROFILE", value_parser = aws_profile, conflicts_with = "source", help_heading = "Who you are")]
    pub(crate) aws_profile: Option<String>,
    /// Keys in the OS keyring to assume it from, instead of --aws-profile
    #[arg(long, value_name = "KEYS", conflicts_with_all = ["aws_profile", "source"], help_heading = "Who you are")]
    pub(crate) keyring: Option<KeyName>,
    /// A source that is configured already, instead of --aws-profile
    #[arg(long, help_heading = "Who you are")]
    pub(crate) source: Option<SourceName>,
    /// The MFA device whose codes the new source's keys need
    #[arg(long, value_name = "ARN", conflicts_with = "source", help_heading = "Who you are")]
    pub(crate) mfa_serial: Option<MfaSerial>,
    /// A role to assume before it; repeat it for several, in order
    #[arg(long, value_name = "ARN", requires = "role_arn", help_heading = "Who you are")]
    pub(crate) via: Vec<RoleArn>,
    /// The external id that the role asks for
    #[arg(long, value_name = "ID", requires = "role_arn", help_heading = "Who you are")]
    pub(crate) external_id: Option<ExternalId>,
    /// The session's name in CloudTrail; {user}, {host}, {profile} and {source_session} are filled in (default: {user}@{host})
    #[arg(long, value_name = "NAME", value_parser = session_name, requires = "role_arn", help_heading = "Who you are")]
    pub(crate) session_name: Option<String>,
    /// How long a session lasts, from 15m to 12h [default: 1h]
    #[arg(long, value_parser = duration, requires = "role_arn", help_heading = "Who you are")]
    pub(crate) duration: Option<String>,

    #[command(flatten)]
    pub(crate) inputs: Inputs,

    /// Do not ask AWS; write what is given
    #[arg(long, help_heading = "Checking")]
    pub(crate) no_verify: bool,
    /// The API server's URL, if AWS is not to be asked for it
    #[arg(long, value_name = "URL", value_parser = server, requires = "certificate_authority", help_heading = "Checking")]
    pub(crate) server: Option<String>,
    /// The API server's certificate authority: a file in PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "server", help_heading = "Checking")]
    pub(crate) certificate_authority: Option<PathBuf>,
    /// Change the profile if there is one of that name
    #[arg(long, help_heading = "Checking")]
    pub(crate) replace: bool,

    /// Ask before a shell is opened or a program is run with it, and show its name in red
    #[arg(long, help_heading = "Checking")]
    pub(crate) protected: bool,

    /// Make it the current context
    #[arg(long = "use", help_heading = "Kubeconfig")]
    pub(crate) make_current: bool,
    /// The kubeconfig to write [default: as kubectl: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Kubeconfig")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Checks a template: it must become a valid session name for any user and host, as in the daemon's configuration.
fn session_name(text: &str) -> Result<String, String> {
    let parts = ["{user}", "{host}", "{profile}", "{source_session}"];
    let filled = parts.iter().fold(text.to_owned(), |text, part| text.replace(part, "xx"));
    filled.parse::<SessionName>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<String, String> {
    match text.parse::<jiff::SignedDuration>() {
        Ok(length) if (15 * 60..=12 * 60 * 60).contains(&length.as_secs()) => Ok(text.to_owned()),
        Ok(_) => Err("a session lasts from 15m to 12h".to_owned()),
        Err(_) => Err("must be a duration such as 1h or 45m".to_owned()),
    }
}

fn server(text: &str) -> Result<String, UrlError> {
    match HttpUrl::parse(text)? {
        url if !url.is_https() => Err(UrlError::Scheme),
        _ if text.len() > 2048 => Err(UrlError::TooLong),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn aws_profile(text: &str) -> Result<String, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        long if long.len() > 256 => Err("must have at most 256 characters".to_owned()),
        odd if odd.contains(|c: char| c.is_control() || "[]".contains(c)) => {
            Err("may not hold brackets or control characters".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}
