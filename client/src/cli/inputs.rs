//! What AssumeRole is given beside the role: what few profiles need.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use rolecall_protocol::{EndpointUrl, PolicyArn, SourceIdentity, TagKey, TagValue, UrlError};

/// What few profiles need.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What the session carries")]
pub(crate) struct Inputs {
    /// A session tag, as KEY=VALUE; repeat it for several
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag, requires = "role_arn")]
    pub(crate) tag: Vec<(TagKey, TagValue)>,
    /// The key of a tag that stays with the roles that are assumed from the session; repeat it for several
    #[arg(long, value_name = "KEY", requires = "tag")]
    pub(crate) transitive_tag: Vec<TagKey>,
    /// The source identity, for CloudTrail and trust policies
    #[arg(long, value_name = "NAME", requires = "role_arn")]
    pub(crate) source_identity: Option<SourceIdentity>,
    /// A managed policy that limits what the session may do; repeat it for several
    #[arg(long, value_name = "ARN", requires = "role_arn")]
    pub(crate) policy_arn: Vec<PolicyArn>,
    /// A file with a JSON policy that limits what the session may do
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "role_arn")]
    pub(crate) policy: Option<PathBuf>,
    /// Where AssumeRole is called instead of the region's own STS, such as a VPC endpoint
    #[arg(long, value_name = "URL", value_parser = sts_endpoint, requires = "role_arn")]
    pub(crate) sts_endpoint: Option<String>,
    /// Use the FIPS endpoint of STS
    #[arg(long)]
    pub(crate) fips: bool,
    /// Use the dual-stack (IPv6) endpoint of STS
    #[arg(long)]
    pub(crate) dual_stack: bool,
}

fn tag(text: &str) -> Result<(TagKey, TagValue), String> {
    // Either may hold an equals sign; in keys it is rare.
    let (key, value) = text.split_once('=').ok_or("must look like KEY=VALUE")?;
    let key = key.parse::<TagKey>().map_err(|error| error.to_string())?;
    Ok((key, value.parse::<TagValue>().map_err(|error| error.to_string())?))
}

fn sts_endpoint(text: &str) -> Result<String, UrlError> {
    Ok(text.parse::<EndpointUrl>()?.as_str().to_owned())
}
