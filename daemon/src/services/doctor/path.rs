//! The network path to the API server: why it does not answer.

use rolecall_aws::eks::{EksCluster, EndpointAccess};
use rolecall_aws::error::{CertificateProblem, ConnectionFailure, NETWORK_HINT};
use rolecall_aws::kubernetes::{KubernetesError, UserInfo};
use rolecall_protocol::{AdministratorRequest, Finding, FindingArea, HttpUrl};

use super::diagnosis::Diagnosis;
use super::network;

/// Returns why the API server gave no answer. `cluster` is its description, if EKS gave one.
pub(super) fn problem(
    diagnosis: &Diagnosis<'_>,
    answer: &Result<UserInfo, KubernetesError>,
    cluster: Option<&EksCluster>,
) -> Finding {
    let host = host(diagnosis);
    match answer {
        Err(KubernetesError::Unreachable { failure, reason }) => {
            unreachable(diagnosis, *failure, reason, &host, cluster)
        }
        Err(error @ KubernetesError::InvalidResponse { .. }) => {
            let cause = format!("{error}; a proxy may answer in place of {host}");
            finding("api_server_intercepted", cause)
                .consequence("kubectl: error: the server responded with something that is not of Kubernetes")
                .fix(format!("Let the proxy pass {host} unchanged, or name it in no_proxy ([network] of config.toml)."))
        }
        Err(error) => finding("api_server_failed", error.to_string())
            .consequence("kubectl: Error from server")
            .fix("Try again in a moment. If it lasts, see the health of the cluster in the EKS console."),
        Ok(_) => finding("internal", "the API server answered".to_owned()),
    }
}

fn finding(code: &str, cause: String) -> Finding {
    Finding::problem(FindingArea::ApiServer, "API server", code, cause)
}

/// Returns the host of the pinned API server.
fn host(diagnosis: &Diagnosis<'_>) -> String {
    let server = diagnosis.request.api_server.as_ref().map_or("", |query| query.server.as_str());
    HttpUrl::parse(server).map_or_else(|_| server.to_owned(), |url| url.host().to_owned())
}

fn unreachable(
    diagnosis: &Diagnosis<'_>,
    failure: ConnectionFailure,
    reason: &str,
    host: &str,
    cluster: Option<&EksCluster>,
) -> Finding {
    let consequence = network::kubectl_message(failure, host);
    let code = format!("api_server_{}", network::code(failure));
    let cause = format!("{host}: {reason}");
    let found = match failure {
        ConnectionFailure::Certificate(CertificateProblem::UnknownIssuer) => {
            let cause = format!(
                "{cause}; the certificate is not of the cluster's authority, so a proxy inspects TLS or another server answers"
            );
            finding(&code, cause).fix(format!(
                "Let the proxy pass {host} without inspection, or name it in no_proxy ([network] of config.toml, and the \
                 variable NO_PROXY of kubectl)."
            ))
        }
        ConnectionFailure::Certificate(_) => {
            finding(&code, cause).fix("Check the clock and the proxy of this computer.")
        }
        ConnectionFailure::Proxy(_) => {
            finding(&code, cause).fix("Fix proxy or no_proxy in [network] of config.toml, and HTTPS_PROXY of kubectl.")
        }
        ConnectionFailure::NotTls => finding(&code, cause).fix(NETWORK_HINT),
        ConnectionFailure::UnknownHost if cluster.is_none() => {
            finding(&code, format!("{cause}: the cluster may have been deleted")).fix(format!(
                "Ask whether the cluster was deleted or recreated. If it was recreated: rolecall kubeconfig {} --repin",
                diagnosis.profile.name
            ))
        }
        ConnectionFailure::UnknownHost
        | ConnectionFailure::NoDns
        | ConnectionFailure::Refused
        | ConnectionFailure::NoRoute
        | ConnectionFailure::Closed
        | ConnectionFailure::TimedOut
        | ConnectionFailure::Other => {
            let access = cluster.map_or(EndpointAccess::Unknown, EksCluster::endpoint_access);
            of_access(diagnosis, &code, &cause, &access, cluster)
        }
    };
    found.consequence(consequence)
}

/// Returns the finding of a host without a connection, by the networks from which it can be reached.
fn of_access(
    diagnosis: &Diagnosis<'_>,
    code: &str,
    cause: &str,
    access: &EndpointAccess,
    cluster: Option<&EksCluster>,
) -> Finding {
    let vpc = cluster.and_then(|cluster| cluster.resources_vpc_config.as_ref()?.vpc_id.as_deref());
    let vpc = vpc.map_or_else(|| "its VPC".to_owned(), |id| format!("its VPC ({id})"));
    match access {
        EndpointAccess::Private => {
            let cause = format!("{cause}; the API server has a private endpoint only, which {vpc} reaches");
            let request = "Give this computer a network path to the VPC, or turn on public access of the API server.";
            finding("api_server_private", cause)
                .fix(format!("Connect the VPN, or work in a network that is connected to {vpc}."))
                .administrator(of_cluster(diagnosis, request.to_owned(), Some(public_access(diagnosis))))
        }
        EndpointAccess::PublicFrom(networks) => {
            let cause = format!(
                "{cause}; the API server accepts connections from {} and {vpc} only, and this computer may have another \
                 public address",
                networks.join(", ")
            );
            let request = "Add the public address of my network to the public access CIDRs of the API server.";
            finding("api_server_cidrs", cause)
                .fix("Connect the VPN, or work in one of these networks.")
                .administrator(of_cluster(diagnosis, request.to_owned(), None))
        }
        EndpointAccess::Public | EndpointAccess::Unknown => finding(code, cause.to_owned()).fix(NETWORK_HINT),
    }
}

fn public_access(diagnosis: &Diagnosis<'_>) -> String {
    let (cluster, region) = (&diagnosis.profile.cluster, &diagnosis.profile.chain.region);
    format!(
        "aws eks update-cluster-config --name {cluster} --region {region} --resources-vpc-config \
         endpointPublicAccess=true,publicAccessCidrs=ADDRESS/32"
    )
}

fn of_cluster(diagnosis: &Diagnosis<'_>, request: String, command: Option<String>) -> AdministratorRequest {
    AdministratorRequest {
        to: format!("an administrator of the cluster {}", diagnosis.profile.cluster),
        request,
        commands: command.into_iter().collect(),
        statement: None,
    }
}
