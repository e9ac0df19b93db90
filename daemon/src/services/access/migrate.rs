//! The migrate endpoint: mappings of aws-auth become access entries.

use std::sync::Arc;

use rolecall_core::cluster_access::change::{self, PlanContext};
use rolecall_core::cluster_access::principal::Principal;
use rolecall_core::cluster_access::reading::Reading;
use rolecall_protocol::{AccessMigrateRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName};
use tokio::sync::mpsc::Sender;

use super::change::{ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::{AccessService, compute, principals, reading};

impl AccessService {
    /// Plans or makes the change from aws-auth to access entries, and sends its steps.
    pub async fn migrate(
        self: Arc<Self>,
        name: ProfileName,
        request: AccessMigrateRequest,
        steps: Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        self.change(&name, &request, &steps).await
    }
}

impl ChangeRequest for AccessMigrateRequest {
    const VERB: &'static str = "migrate";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading who may enter the cluster");
        let read = reading::read(cluster).await?;
        progress.activity("looking up the principals in IAM");
        let reading = read.reading.clone();
        let rows = compute(move || reading.rows()).await?;
        // IAM names the path of each role, which aws-auth leaves out and an access entry needs.
        let named: Vec<Principal> = rows.iter().filter_map(|row| row.principal.parse().ok()).collect();
        let (context, note) = principals::plan_context(cluster, &named, &[]).await?;
        let request = self.clone();
        let plan = move |reading: &Reading, context: &PlanContext| change::migrate(reading, context, &request);
        let mut planned = Planned::compute(read, context, self.change.force, plan).await?;
        planned.plan.notes.extend(note);
        Ok(planned)
    }
}
