//! The revoke endpoint.

use std::sync::Arc;

use rolecall_core::cluster_access::change;
use rolecall_protocol::{AccessRevokeRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName};
use tokio::sync::mpsc::Sender;

use super::change::{ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::plan_error;
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
        let plan = change::revoke(&read.reading, &context, self).map_err(|error| plan_error(&error))?;
        Ok(Planned::new(plan, read, context.caller, self.change.force))
    }
}
