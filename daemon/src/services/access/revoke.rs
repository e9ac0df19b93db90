//! The revoke endpoint.

use std::sync::Arc;

use rolecall_protocol::{AccessRevokeRequest, AccessStep, ChangeOptions, ErrorBody, ProfileName};
use tokio::sync::mpsc::Sender;

use super::change::{CallerAccess, ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::plan_error;
use super::grant::known_policies;
use super::{AccessService, entry_plan, principals, reading};

impl AccessService {
    /// Plans or makes a revocation, and sends its steps.
    pub async fn revoke(self: Arc<Self>, name: ProfileName, request: AccessRevokeRequest, steps: Sender<AccessStep>) {
        self.change(&name, &request, &steps).await;
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
        let policies = known_policies(cluster, &self.policies).await?;
        let caller = cluster.caller().await?;
        // IAM is not asked: the entry of a principal that no longer exists can be removed.
        let requested: Vec<_> = principals::parse_all(cluster, &self.principals);
        let plan = entry_plan::revoke(&read.reading, &requested, &policies, &caller, self.change.force);
        let plan = plan.map_err(|error| plan_error(&error))?;
        let caller = if self.change.force { CallerAccess::GivenUp } else { CallerAccess::Keeps };
        Ok(Planned { plan, aws_auth: read.aws_auth, caller })
    }
}
