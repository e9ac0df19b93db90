//! What EKS says about the cluster, and where a cluster is that EKS does not find.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_protocol::{ErrorBody, Finding, FindingArea, KNOWN_REGIONS, Region, similar_names};

use super::diagnosis::Diagnosis;
use crate::services::access::error::eks_error;
use rolecall_aws::eks::{EksClient, EksCluster, EksError, EksErrorReason};
use rolecall_core::config::partition;
use rolecall_core::session::Session;

/// How long DescribeCluster may take.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the search for a missing cluster may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Regions that are asked at the same time.
const MAX_PARALLEL_REGIONS: usize = 16;
/// Clusters of the region whose API server is compared with that of the profile.
const MAX_COMPARED_CLUSTERS: usize = 8;

/// What EKS says about the cluster.
pub(super) enum Description {
    /// It exists.
    Cluster(Box<EksCluster>),
    /// It does not exist in this account and region.
    Missing,
    /// EKS does not say it to this role.
    Denied(ErrorBody),
    /// The call failed.
    Failed(ErrorBody),
}

/// Where a missing cluster may be.
pub(super) enum Whereabouts {
    /// The API server of the profile is that of another cluster of the region.
    OtherName(String),
    /// A cluster of the region has a similar name.
    SimilarName(String),
    /// Another region has a cluster of this name.
    OtherRegion(Region),
    /// None was found.
    Unknown,
}

/// Describes the cluster as the profile's role or, where that is denied, with the source's own credentials.
pub(super) async fn describe(diagnosis: &Diagnosis<'_>, role: &Arc<Session>, source: &Arc<Session>) -> Description {
    let region = &diagnosis.profile.chain.region;
    let as_role = describe_in(diagnosis, region, role);
    let mut described = diagnosis.within(DESCRIBE_TIMEOUT, as_role).await;
    if let Some(Err(error)) = &described
        && matches!(error.reason, EksErrorReason::Denied { .. })
        && !Arc::ptr_eq(role, source)
        && let Some(Ok(cluster)) = diagnosis.within(DESCRIBE_TIMEOUT, describe_in(diagnosis, region, source)).await
    {
        described = Some(Ok(cluster));
    }
    match described {
        None => Description::Failed(ErrorBody::new(rolecall_protocol::ErrorCode::Timeout, "EKS does not answer")),
        Some(Ok(cluster)) => Description::Cluster(Box::new(cluster)),
        Some(Err(error)) => match error.reason {
            EksErrorReason::NotFound => Description::Missing,
            EksErrorReason::Denied { .. } => Description::Denied(eks_error(&error)),
            _ => Description::Failed(eks_error(&error)),
        },
    }
}

/// Looks for a cluster that EKS does not find in the profile's region.
pub(super) async fn search(diagnosis: &Diagnosis<'_>, session: &Arc<Session>) -> Whereabouts {
    let searching = async {
        match search_region(diagnosis, session).await {
            Whereabouts::Unknown => search_regions(diagnosis, session).await,
            found => found,
        }
    };
    diagnosis.within(SEARCH_TIMEOUT, searching).await.unwrap_or(Whereabouts::Unknown)
}

/// Compares the other clusters of the region by API server and by name.
async fn search_region(diagnosis: &Diagnosis<'_>, session: &Session) -> Whereabouts {
    let profile = diagnosis.profile;
    let Ok(client) = client(diagnosis, &profile.chain.region, session).await else { return Whereabouts::Unknown };
    let Ok(others) = client.list_clusters().await else { return Whereabouts::Unknown };
    let similar: Vec<String> = similar_names(profile.cluster.as_str(), others.iter().map(String::as_str))
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Some(pin) = &profile.pin {
        // Similar names first: they are the most likely.
        let rest = others.iter().filter(|name| !similar.contains(name));
        let compared: Vec<&String> = similar.iter().chain(rest).take(MAX_COMPARED_CLUSTERS).collect();
        let describing: Vec<_> = compared.iter().map(|name| Box::pin(client.describe_cluster(name))).collect();
        let described: Vec<_> = iter(describing).buffered(MAX_COMPARED_CLUSTERS).collect().await;
        let is_same = |found: &Result<Option<EksCluster>, EksError>| matches!(found, Ok(Some(cluster)) if cluster.endpoint.as_deref() == Some(pin.server.as_str()));
        if let Some(index) = described.iter().position(is_same) {
            return Whereabouts::OtherName(compared[index].clone());
        }
    }
    similar.into_iter().next().map_or(Whereabouts::Unknown, Whereabouts::SimilarName)
}

/// Looks for a cluster of this name in the other regions of the partition.
async fn search_regions(diagnosis: &Diagnosis<'_>, session: &Session) -> Whereabouts {
    let own = &diagnosis.profile.chain.region;
    let regions = KNOWN_REGIONS.iter().filter_map(|region| region.parse::<Region>().ok());
    let regions = regions.filter(|region| region != own && partition(region) == partition(own));
    let asking: Vec<_> = regions
        .map(|region| Box::pin(async move { describe_in(diagnosis, &region, session).await.is_ok().then_some(region) }))
        .collect();
    let mut asking = iter(asking).buffer_unordered(MAX_PARALLEL_REGIONS);
    while let Some(found) = asking.next().await {
        if let Some(region) = found {
            return Whereabouts::OtherRegion(region);
        }
    }
    Whereabouts::Unknown
}

async fn describe_in(diagnosis: &Diagnosis<'_>, region: &Region, session: &Session) -> Result<EksCluster, EksError> {
    let client = client(diagnosis, region, session).await?;
    let described = client.describe_cluster(diagnosis.profile.cluster.as_str()).await?;
    described.ok_or_else(|| EksError::invalid_response("the response of EKS has no cluster"))
}

async fn client<'a>(
    diagnosis: &Diagnosis<'_>,
    region: &'a Region,
    session: &Session,
) -> Result<EksClient<'a>, EksError> {
    let source = &diagnosis.profile.chain.source;
    let failed = |error| EksError { reason: EksErrorReason::Other, error };
    let config = diagnosis.components.aws.client_config(source, region, session.credentials.clone()).await;
    let client = EksClient::new(config.map_err(failed)?, region).await;
    client.ok_or_else(|| EksError::invalid_response(&format!("EKS has no endpoint in {region}")))
}

/// Returns the finding of a description that EKS does not give.
pub(super) fn not_described(description: &Description) -> Option<Finding> {
    let (code, body) = match description {
        Description::Denied(body) => ("describe_denied", body),
        Description::Failed(body) => ("describe_failed", body),
        Description::Cluster(_) | Description::Missing => return None,
    };
    let cause = format!("whether the cluster was recreated is not known: {}", body.message);
    let finding = Finding::not_checked(FindingArea::ApiServer, "cluster", code, cause);
    Some(match &body.hint {
        Some(hint) => finding.fix(hint),
        None => finding,
    })
}
