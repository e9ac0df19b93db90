//! The grant endpoint.

use std::sync::Arc;

use rolecall_core::cluster_access::change::{self, PlanContext};
use rolecall_core::cluster_access::reading::Reading;
use rolecall_protocol::{
    AccessFinding, AccessGrantRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName, Severity,
};
use tokio::sync::mpsc::Sender;

use super::change::{ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::finding;
use super::{AccessService, principals, reading};

impl AccessService {
    /// Plans or makes a grant, and sends its steps.
    pub async fn grant(
        self: Arc<Self>,
        name: ProfileName,
        request: AccessGrantRequest,
        steps: Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        self.change(&name, &request, &steps).await
    }
}

impl ChangeRequest for AccessGrantRequest {
    const VERB: &'static str = "grant";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading who may enter the cluster");
        let read = reading::read(cluster).await?;
        let namespaces = check_namespaces(cluster, &self.namespaces).await?;
        progress.activity("looking up the principals in IAM");
        let given = principals::given(cluster, &self.principals);
        let (context, note) = principals::plan_context(cluster, &given, &self.policies).await?;
        let request = self.clone();
        let plan = move |reading: &Reading, context: &PlanContext| change::grant(reading, context, &request);
        let mut planned = Planned::compute(read, context, self.change.force, plan).await?;
        planned.plan.notes.extend(note.into_iter().chain(namespaces));
        Ok(planned)
    }
}

/// Errors if a namespace does not exist. Returns a note if the API server did not say it.
async fn check_namespaces(
    cluster: &ClusterConnection<'_>,
    namespaces: &[String],
) -> Result<Option<AccessFinding>, ErrorBody> {
    let mut missing = Vec::new();
    let mut unread = None;
    let named: Vec<&String> = namespaces.iter().filter(|namespace| !namespace.contains('*')).collect();
    if named.is_empty() {
        return Ok(None);
    }
    match cluster.kubernetes(false).await {
        Err(error) => unread = Some(error.message),
        Ok(client) => {
            for namespace in named {
                match client.namespace_exists(namespace).await {
                    Ok(true) => {}
                    Ok(false) => missing.push(namespace.as_str()),
                    Err(error) => {
                        unread = Some(error.to_string());
                        break;
                    }
                }
            }
        }
    }
    if !missing.is_empty() {
        let message = format!("the cluster has no namespace {}", missing.join(", "));
        let hint = "Check the name, or create the namespace first.";
        return Err(ErrorBody::new(ErrorCode::AccessRefused, message).hint(hint));
    }
    Ok(unread.map(|reason| {
        finding(
            Severity::Note,
            "namespaces_not_checked",
            format!("whether the namespaces exist was not checked: {reason}"),
        )
    }))
}
