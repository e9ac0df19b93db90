//! The revoke endpoint.

use std::sync::Arc;

use rolecall_core::cluster_access::change::{self, PlanContext};
use rolecall_core::cluster_access::reading::Reading;
use rolecall_protocol::{AccessRevokeRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName};
use tokio::sync::mpsc::Sender;

use super::change::{ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::{AccessService, principals, reading};

impl AccessService {
    /// Plans or makes a revocation, and sends its steps.
    pub async fn revoke(
        self: Arc<Self>,
        name: ProfileName,
        request: AccessRevokeRequest,
        steps: Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        self.change(&name, &request, &steps).await
    }
}

impl ChangeRequest for AccessRevokeRequest {
    const VERB: &'static str = "revoke";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading who may enter the cluster");
        let read = reading::read(cluster).await?;
        // IAM is not asked: the entry of a principal that no longer exists can be removed.
        let (context, _) = principals::plan_context(cluster, &[], &self.policies).await?;
        let request = self.clone();
        let plan = move |reading: &Reading, context: &PlanContext| change::revoke(reading, context, &request);
        Planned::compute(read, context, self.change.force, plan).await
    }
}
