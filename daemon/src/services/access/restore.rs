//! The restore endpoint: back to a backup of aws-auth.

use std::sync::Arc;

use rolecall_aws::kubernetes::ConfigMap;
use rolecall_core::cluster_access::aws_auth::{AwsAuth, Data, lint};
use rolecall_core::cluster_access::change::{self, Plan, PlanContext, PlanError, check_lock_out};
use rolecall_core::cluster_access::reading::{AwsAuthState, Reading};
use rolecall_protocol::{AccessRestoreRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName, Severity};
use tokio::sync::mpsc::Sender;

use super::backup::{BackupError, Backups};
use super::change::{ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::finding;
use super::{AccessService, principals, reading};

impl AccessService {
    /// Plans or makes the return to a backup of aws-auth, and sends its steps.
    pub async fn restore(
        self: Arc<Self>,
        name: ProfileName,
        request: AccessRestoreRequest,
        steps: Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        self.change(&name, &request, &steps).await
    }
}

impl ChangeRequest for AccessRestoreRequest {
    const VERB: &'static str = "restore";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading aws-auth");
        let read = reading::read(cluster).await?;
        let (context, _) = principals::plan_context(cluster, &[], &[]).await?;
        let (name, data) = read_backup(cluster.backups()?, self.backup.clone()).await?;
        let is_forced = self.change.force;
        let plan = move |reading: &Reading, context: &PlanContext| plan(reading, context, (&name, data), is_forced);
        Planned::compute(read, context, is_forced, plan).await
    }
}

/// Plans the replacement of aws-auth by a backup. Errors if the caller or the last administrator loses access, unless it is
/// forced.
fn plan(
    reading: &Reading,
    context: &PlanContext,
    (name, data): (&str, Data),
    is_forced: bool,
) -> Result<Plan, PlanError> {
    let before = reading.aws_auth_data().ok_or(PlanError::Unread { source_name: "aws-auth" })?;
    let mut plan = Plan::default();
    if before != data || reading.aws_auth == AwsAuthState::Absent {
        plan.diff = Some(change::diff(&before, &data));
        // What is wrong with the backup, since it replaces what the cluster has.
        let findings = lint::lint(&data, Some(&reading.partition)).into_iter().map(|found| found.finding);
        plan.notes.extend(findings.filter(|finding| finding.severity != Severity::Note));
        plan.aws_auth = Some(data);
    }
    plan.notes.push(finding(Severity::Note, "backup", format!("the backup is {name}")));
    check_lock_out(reading, &plan.applied_to(reading), context, is_forced)?;
    Ok(plan)
}

/// Reads the backup of that name, or the newest one.
async fn read_backup(backups: Backups, name: Option<String>) -> Result<(String, Data), ErrorBody> {
    let read = tokio::task::spawn_blocking(move || backups.read(name.as_deref())).await;
    let Ok(read) = read else { return Err(ErrorBody::new(ErrorCode::Internal, "a task ended unexpectedly")) };
    let (path, content) = read.map_err(|error| {
        let body = ErrorBody::new(ErrorCode::AccessRefused, error.to_string());
        match &error {
            BackupError::NotFound { existing, .. } if !existing.is_empty() => {
                body.hint(format!("There are: {}.", existing.join(", ")))
            }
            _ => body,
        }
    })?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let not_one = || {
        let message = format!("backup {} is not a ConfigMap", path.display());
        ErrorBody::new(ErrorCode::AccessRefused, message)
    };
    Ok((name, data_of(&content).ok_or_else(not_one)?))
}

/// Returns the data of the newest backup whose texts the authenticator reads without a problem.
pub(super) async fn newest_valid(backups: Backups) -> Option<Data> {
    let newest = move || {
        let valid = |name: &String| {
            let data = data_of(&backups.read(Some(name)).ok()?.1)?;
            let read = AwsAuth::read(&data);
            (read.problems.is_empty() && read.mappings().next().is_some()).then_some(data)
        };
        backups.names().iter().rev().find_map(valid)
    };
    tokio::task::spawn_blocking(newest).await.ok().flatten()
}

fn data_of(content: &[u8]) -> Option<Data> {
    Some(serde_json::from_slice(content).ok().and_then(ConfigMap::from_object)?.data())
}
