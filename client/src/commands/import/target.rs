//! The profile that a context becomes: its cluster, region, identity and pin, checked; or why there is none.

use std::path::Path;

use rolecall_protocol::{ClusterName, EndpointUrl, ExternalId, HttpUrl, Region, RoleArn, SessionName};

use super::aws_profiles::AwsProfiles;
use super::recognize::Meaning;
use crate::config_file::InputsEntry;
use crate::config_file::imported::ServerRoute;
use crate::kubeconfig::context_entry::Server;
use crate::kubeconfig::{Authority, FoundCluster, FoundContext};

/// The AWS profile of a program that names none, as in AWS's own tools.
const DEFAULT_AWS_PROFILE: &str = "default";

/// What a profile has to be, apart from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) cluster: ClusterName,
    pub(super) region: Region,
    pub(super) role_arn: Option<RoleArn>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) session_name: Option<String>,
    pub(super) aws_profile: String,
    pub(super) inputs: InputsEntry,
    pub(super) server: Server,
    pub(super) route: ServerRoute,
    /// Whether EKS would describe another server, or the certificate authority in other bytes.
    pub(super) is_given: bool,
}

/// Returns the target of a context. `default_profile` replaces the AWS profile of a program that names none.
pub(super) fn target(
    context: &FoundContext,
    meaning: &Meaning,
    default_profile: Option<&str>,
    profiles: &AwsProfiles,
) -> Result<Target, String> {
    let cluster = context.cluster.as_ref().ok_or("it has no cluster")?;
    let name =
        meaning.cluster.parse().map_err(|error| format!("{} is not a cluster of EKS: {error}", meaning.cluster))?;
    let aws_profile = meaning.aws_profile.as_deref().or(default_profile).unwrap_or(DEFAULT_AWS_PROFILE);
    let is_named = meaning.aws_profile.is_some() || default_profile.is_some();
    if let Some(problem) = profiles.problem(aws_profile, is_named, meaning.vault) {
        return Err(problem);
    }
    let (server, is_file) = server(cluster)?;
    let region = region(context, cluster, meaning).or_else(|| profiles.region(aws_profile).map(str::to_owned));
    let region = region.ok_or("neither its program nor its server names the region")?;
    let session_name = meaning.session_name.clone();
    if let Some(name) = session_name.as_deref().filter(|name| *name != "{source_session}") {
        name.parse::<SessionName>().map_err(|error| error.to_string())?;
    }
    Ok(Target {
        cluster: name,
        region: region.parse().map_err(|error| format!("{error}"))?,
        role_arn: meaning.role_arn.as_deref().map(|arn| parsed(arn, "role")).transpose()?,
        // Without a role, both are not used.
        external_id: meaning
            .external_id
            .as_deref()
            .filter(|_| meaning.role_arn.is_some())
            .map(|id| parsed(id, "external id"))
            .transpose()?,
        session_name: session_name.filter(|_| meaning.role_arn.is_some()),
        aws_profile: aws_profile.to_owned(),
        inputs: InputsEntry {
            fips: meaning.fips.then_some(true),
            dual_stack: meaning.dual_stack.then_some(true),
            ..InputsEntry::default()
        },
        is_given: is_file || meaning.is_cluster_id || region_of_server(&server.url).is_none(),
        server,
        route: ServerRoute { tls_server_name: cluster.tls_server_name.clone(), proxy_url: cluster.proxy_url.clone() },
    })
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, what: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("its {what} is not valid: {error}"))
}

/// Returns the server and its certificate authority, and whether that is in a file.
fn server(cluster: &FoundCluster) -> Result<(Server, bool), String> {
    if cluster.skips_tls_verification {
        return Err("its cluster has insecure-skip-tls-verify, and Rolecall verifies the certificate".to_owned());
    }
    let is_https = HttpUrl::parse(&cluster.server).is_ok_and(|url| url.is_https());
    if !is_https || cluster.server.parse::<EndpointUrl>().is_err() {
        return Err("its server is not an https URL".to_owned());
    }
    match &cluster.authority {
        Some(Authority::Data(data)) => {
            let server = Server::from_data(&cluster.server, data).ok_or("its certificate authority is not base64")?;
            Ok((server, false))
        }
        Some(Authority::File(path)) => {
            let server = Server::from_file(&cluster.server, Path::new(path));
            Ok((server.map_err(|_| format!("its certificate authority {} cannot be read", path.display()))?, true))
        }
        None => Err("its cluster names no certificate authority, which would be the pin".to_owned()),
    }
}

/// Returns the region of the cluster: that of the server's name, the option or variable of the program, or a name in the kubeconfig.
fn region(context: &FoundContext, cluster: &FoundCluster, meaning: &Meaning) -> Option<String> {
    let names = [Some(&context.name), context.cluster_name.as_ref(), context.user_name.as_ref()];
    region_of_server(&cluster.server)
        .or_else(|| meaning.region.clone())
        .or_else(|| names.into_iter().flatten().find_map(|name| region_of_name(name)))
}

/// Returns the region in the URL of an API server of EKS, such as `https://ID.gr7.eu-west-1.eks.amazonaws.com`.
fn region_of_server(url: &str) -> Option<String> {
    let url = HttpUrl::parse(url).ok()?;
    let labels: Vec<&str> = url.host().split('.').collect();
    let is_eks = labels.iter().any(|label| *label == "eks" || label.starts_with("eks-"));
    let is_aws = labels.iter().any(|label| ["amazonaws", "amazonwebservices", "aws", "gov", "uk"].contains(label));
    labels.into_iter().find(|label| is_eks && is_aws && label.parse::<Region>().is_ok()).map(str::to_owned)
}

/// Returns the region in a name that the AWS CLI (`arn:aws:eks:REGION:…`) or eksctl (`…REGION.eksctl.io`) made.
fn region_of_name(name: &str) -> Option<String> {
    let of_arn = name.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    let of_eksctl = name.strip_suffix(".eksctl.io").and_then(|rest| rest.rsplit('.').next());
    of_arn.or(of_eksctl).filter(|region| region.parse::<Region>().is_ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_of_server_is_that_of_eks_alone() {
        for (url, expected) in [
            ("https://0AB1.gr7.eu-west-1.eks.amazonaws.com", Some("eu-west-1")),
            ("https://0AB1.sk1.us-east-2.eks.amazonaws.com:443/", Some("us-east-2")),
            ("https://0AB1.yl4.cn-north-1.eks.amazonaws.com.cn", Some("cn-north-1")),
            ("https://0AB1.gr7.us-gov-west-1.eks.amazonaws.com", Some("us-gov-west-1")),
            ("https://prod.eks-cluster.eu-west-1.api.aws", Some("eu-west-1")),
            ("https://my-cluster-1.eks.example.com", None),
            ("https://eu-west-1.example.com", None),
            ("https://127.0.0.1:6443", None),
        ] {
            assert_eq!(region_of_server(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn region_of_name_is_that_of_arn_or_eksctl() {
        assert_eq!(region_of_name("arn:aws:eks:eu-west-1:111122223333:cluster/prod").as_deref(), Some("eu-west-1"));
        assert_eq!(
            region_of_name("arn:aws-cn:eks:cn-north-1:111122223333:cluster/prod").as_deref(),
            Some("cn-north-1")
        );
        assert_eq!(region_of_name("dev@prod.us-west-2.eksctl.io").as_deref(), Some("us-west-2"));
        assert_eq!(region_of_name("prod.us-west-2.eksctl.io").as_deref(), Some("us-west-2"));
        assert_eq!(region_of_name("prod"), None);
        assert_eq!(region_of_name("arn:aws:iam::111122223333:role/x"), None);
    }
}
