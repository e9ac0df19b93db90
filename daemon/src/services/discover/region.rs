//! The clusters of one region, as one identity sees them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall_aws::eks::EksClient;
use rolecall_aws::error::AwsError;
use rolecall_aws::{cluster, kubernetes, token};
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_protocol::{
    Cluster, ClusterAccess, ClusterName, DescribedCluster, DiscoveredCluster, ErrorBody, ErrorCode, Region,
};

use super::DiscoverService;
use super::identities::{Credentials, Identity};
use super::report::{FailedRegion, Report};

impl DiscoverService {
    /// Sends the clusters of a region. Returns why they could not be listed.
    pub(super) async fn search_region(
        &self,
        identity: &Identity,
        credentials: &Credentials,
        region: &Region,
        report: &Report<'_>,
    ) -> Option<FailedRegion> {
        let listed = self.list(credentials, region).await;
        let failed = match listed {
            Ok(names) => {
                for name in names {
                    report.found(self.look_at(identity, credentials, region, name).await).await;
                }
                None
            }
            Err(error) => Some(FailedRegion { region: region.clone(), error }),
        };
        report.searched(1, format!("{}, {region}", identity.label));
        failed
    }

    /// Returns the names of the clusters, each once.
    async fn list(&self, credentials: &Credentials, region: &Region) -> Result<BTreeSet<ClusterName>, ErrorBody> {
        let config = self.aws.client_config(&credentials.source, region, credentials.session.credentials.clone()).await;
        let config = config.map_err(|error| eks_error(&error))?;
        let Some(eks) = EksClient::new(config, region).await else {
            return Err(ErrorBody::new(ErrorCode::ConfigInvalid, format!("EKS has no endpoint in {region}")));
        };
        let names = eks.list_all_clusters().await.map_err(|error| eks_error(&error.error))?;
        // EKS has no other names.
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Describes a cluster, and asks its API server who the identity is there.
    async fn look_at(
        &self,
        identity: &Identity,
        credentials: &Credentials,
        region: &Region,
        name: ClusterName,
    ) -> DiscoveredCluster {
        let Credentials { session, source, account } = credentials;
        let described = cluster::describe(&self.aws, source, region, &name, session).await;
        let (described, access) = match described {
            Ok(found) => {
                let access = self.access(credentials, &found).await;
                (DescribedCluster::Cluster(found), access)
            }
            Err(error) => (DescribedCluster::ClusterProblem(error.body()), None),
        };
        let (account, identity) = (account.clone(), identity.shown.clone());
        DiscoveredCluster { name, region: region.clone(), account, identity, described, access }
    }

    /// Returns what the API server says about the identity; `None` if no token can be made.
    async fn access(&self, credentials: &Credentials, found: &Cluster) -> Option<ClusterAccess> {
        let pem = STANDARD.decode(found.certificate_authority_data.trim()).ok()?;
        let minted =
            token::mint(&credentials.session, &found.region, EndpointVariant::default(), &found.name, self.aws.now());
        let token = minted.await.ok()?.token;
        let network = self.aws.network();
        Some(kubernetes::who_am_i(self.aws.clock(), &network.path, &found.server, &pem, &token).await)
    }
}

fn eks_error(error: &AwsError) -> ErrorBody {
    match error.of_endpoint("EKS") {
        Some((message, hint)) => ErrorBody::new(error.kind.code(), message).hint(hint),
        None => ErrorBody::new(error.kind.code(), format!("EKS: {}", error.message)),
    }
}
