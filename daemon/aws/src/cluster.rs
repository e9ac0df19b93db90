//! The URL and the CA of a cluster, from DescribeCluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall_protocol::{Cluster, ClusterName, ErrorBody, HttpUrl, Region, similar_names};
use sha2::{Digest, Sha256};

use crate::client::Aws;
use crate::eks::{EksClient, EksCluster, EksErrorReason};
use crate::error::AwsError;
use crate::error::AwsErrorKind;
use rolecall_core::config::SourceConfig;
use rolecall_core::session::Session;

/// A failed DescribeCluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster {cluster} in {region}: {}", .error.message)]
pub struct ClusterError {
    cluster: ClusterName,
    region: Region,
    error: AwsError,
    /// The names of existing clusters, if this one does not exist.
    others: Vec<String>,
}

/// Returns the URL and the CA of a cluster. Calls EKS with the credentials of `session`.
pub async fn describe(
    aws: &Aws,
    source: &SourceConfig,
    region: &Region,
    name: &ClusterName,
    session: &Session,
) -> Result<Cluster, ClusterError> {
    let fail = |error: AwsError, others: Vec<String>| ClusterError {
        cluster: name.clone(),
        region: region.clone(),
        error,
        others,
    };
    let config = aws.client_config(source, region, session.credentials.clone()).await;
    let config = config.map_err(|error| fail(error, vec![]))?;
    let Some(client) = EksClient::new(config, region).await else {
        return Err(fail(AwsError::new(AwsErrorKind::Rejected, format!("EKS has no endpoint in {region}")), vec![]));
    };
    match client.describe_cluster(name.as_str()).await {
        Ok(Some(found)) => cluster_from_response(&found, name, region)
            .map_err(|message| fail(AwsError::invalid_response(message), vec![])),
        Ok(None) => Err(fail(AwsError::invalid_response("the response of EKS has no cluster"), vec![])),
        Err(error) => {
            let is_absent = error.reason == EksErrorReason::NotFound;
            let others = if is_absent { list_clusters(&client).await } else { vec![] };
            Err(fail(error.error, others))
        }
    }
}

/// The first page of clusters, for the error message; empty if ListClusters fails.
async fn list_clusters(client: &EksClient<'_>) -> Vec<String> {
    client.list_clusters().await.unwrap_or_default()
}

fn cluster_from_response(found: &EksCluster, name: &ClusterName, region: &Region) -> Result<Cluster, &'static str> {
    let server = match found.endpoint.as_deref() {
        Some(server) if HttpUrl::parse(server).is_ok_and(|url| url.is_https()) => server,
        Some(_) => return Err("the endpoint in the response of EKS is not an https URL"),
        None => return Err("the cluster has no endpoint yet: its status is not ACTIVE"),
    };
    let Some(data) = found.certificate_authority.as_ref().and_then(|authority| authority.data.as_deref()) else {
        return Err("the cluster has no certificate authority yet: its status is not ACTIVE");
    };
    Ok(Cluster {
        name: name.clone(),
        region: region.clone(),
        server: server.to_owned(),
        ca_sha256: ca_sha256(data).ok_or("the certificate authority in the response of EKS is not base64")?,
        certificate_authority_data: data.to_owned(),
        version: found.version.as_deref().map(rolecall_protocol::sanitize_for_terminal),
        status: found.status.as_deref().map(rolecall_protocol::sanitize_for_terminal),
    })
}

/// The pin of a CA bundle: the SHA-256 of the PEM text in lower-case hex. `None` if the argument is not base64.
#[must_use]
pub fn ca_sha256(certificate_authority_data: &str) -> Option<String> {
    let bundle = STANDARD.decode(certificate_authority_data.trim()).ok()?;
    Some(hex::encode(Sha256::digest(bundle)))
}

impl ClusterError {
    /// Whether AWS denied the call. Other credentials may have the permission.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.error.kind == AwsErrorKind::Denied
    }

    /// The error in the protocol.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let Self { cluster, region, error, .. } = self;
        let (message, hint) = match error.kind {
            AwsErrorKind::NotFound => {
                (format!("there is no cluster \"{cluster}\" in {region} of this account"), self.suggestion())
            }
            AwsErrorKind::Denied => (
                format!("AWS denied DescribeCluster for \"{cluster}\": {}", error.message),
                "Ask for the permission eks:DescribeCluster.".to_owned(),
            ),
            _ => {
                let (cause, hint) =
                    error.of_endpoint("EKS").unwrap_or_else(|| (error.message.clone(), "Try again in a moment."));
                (format!("DescribeCluster failed for \"{cluster}\" in {region}: {cause}"), hint.to_owned())
            }
        };
        ErrorBody::new(error.kind.code(), message).hint(hint)
    }

    fn suggestion(&self) -> String {
        let near = similar_names(self.cluster.as_str(), self.others.iter().map(String::as_str));
        match (near.first(), self.others.as_slice()) {
            (Some(near), _) => format!("Did you mean \"{near}\"?"),
            (None, []) => "Check the region and the account.".to_owned(),
            (None, others) => {
                format!(
                    "Existing clusters: {}.",
                    others.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}
