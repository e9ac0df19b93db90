//! A change of aws-auth: backup, replacement of the version that was read, check of the caller's access, and the way back.

use std::path::PathBuf;

use rolecall_aws::kubernetes::{ConfigMap, KubernetesClient, KubernetesError, UserInfo};
use rolecall_core::cluster_access::aws_auth::Data;
use rolecall_core::cluster_access::change::PlannedChange;
use rolecall_protocol::{AccessSource, ErrorBody, ErrorCode, Hint, Severity};

use super::AccessService;
use super::caller::{self, CallerCheck};
use super::change::{CallerAccess, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::kubernetes_error;
use super::reading::{NAME, NAMESPACE};
use super::report::Report;

/// What is needed to go back to the former text.
struct Written {
    /// The client that wrote: the API server accepts its token for as long as its cache has it.
    client: KubernetesClient,
    /// The former object; `None` if there was none.
    before: Option<ConfigMap>,
    /// The object that was written.
    now: ConfigMap,
    /// The user of the caller before the change, if it is known.
    caller: Option<UserInfo>,
}

impl AccessService {
    /// Writes `data` to aws-auth. If the caller has less access afterwards, the former text is written back.
    pub(super) async fn write_aws_auth(
        &self,
        cluster: &ClusterConnection<'_>,
        planned: &Planned,
        data: &Data,
        report: &mut Report,
        progress: &Progress<'_>,
    ) {
        let written = match self.replace(cluster, planned, data, report).await {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(profile = %cluster.profile.name, cluster = cluster.name(), error = %error.message, "aws-auth not changed");
                return report.record_aws_auth(&Err(error));
            }
        };
        report.record_aws_auth(&Ok(()));
        let (profile, name) = (&cluster.profile.name, cluster.name());
        tracing::info!(profile = %profile, cluster = name, "aws-auth changed");
        for PlannedChange { change, source, .. } in &planned.plan.changes {
            if *source == AccessSource::AwsAuth && change.action.is_change() {
                let principal = &change.target;
                tracing::info!(profile = %profile, cluster = name, principal, action = ?change.action, "mapping changed");
            }
        }
        if planned.caller_access == CallerAccess::GivenUp {
            return;
        }
        // From here on the lock of the agent is not checked: the way back must not be given up.
        match self.check_caller(cluster, planned, written.caller.as_ref(), progress).await {
            CallerCheck::Kept => {}
            CallerCheck::Unknown(reason) => {
                let message = format!("your access after the change could not be checked: {reason}");
                report.note(Severity::Warning, "access_not_checked", message, None);
            }
            CallerCheck::Lost(reason) => self.roll_back(cluster, written, &reason, report).await,
        }
    }

    async fn replace(
        &self,
        cluster: &ClusterConnection<'_>,
        planned: &Planned,
        data: &Data,
        report: &mut Report,
    ) -> Result<Written, ErrorBody> {
        self.lock.check_unlocked().map_err(|error| error.0)?;
        if planned.read.aws_auth.as_ref().is_some_and(ConfigMap::is_immutable) {
            let body =
                ErrorBody::new(ErrorCode::AccessRefused, "aws-auth is immutable, so the API server refuses changes");
            return Err(body.hint("Save it, delete it and create it again without immutable."));
        }
        // A caller that cannot be identified now cannot be checked afterwards.
        let caller = caller::user(cluster).await.map_err(|error| kubernetes_error(&error))?;
        if let Some(before) = &planned.read.aws_auth {
            report.set_backup(self.back_up(cluster, before).await?);
        }
        let client = cluster.kubernetes(false).await?;
        let now = match &planned.read.aws_auth {
            Some(before) => client.replace_config_map(&before.with_data(data)).await,
            None => client.create_config_map(&ConfigMap::new(NAMESPACE, NAME, data)).await,
        };
        let now = now.map_err(|error| match error {
            KubernetesError::Conflict { .. }
            | KubernetesError::AlreadyExists { .. }
            | KubernetesError::NotFound { .. } => {
                let message = "aws-auth was changed by another program at the same time; nothing was changed";
                ErrorBody::new(ErrorCode::AccessChanged, message).hint("Run the command again, and check the new plan.")
            }
            error => kubernetes_error(&error),
        })?;
        Ok(Written { client, before: planned.read.aws_auth.clone(), now, caller })
    }

    /// Writes the former text back, unless another program has changed aws-auth since.
    async fn roll_back(&self, cluster: &ClusterConnection<'_>, written: Written, reason: &str, report: &mut Report) {
        let Written { client, before, now, .. } = written;
        let former = before.map(|before| before.data()).unwrap_or_default();
        let back = now.with_data(&former);
        let mut outcome = client.replace_config_map(&back).await;
        if matches!(outcome, Err(KubernetesError::Unauthorized | KubernetesError::Forbidden { .. }))
            && let Ok(fresh) = cluster.kubernetes(true).await
        {
            outcome = fresh.replace_config_map(&back).await;
        }
        let (profile, name) = (&cluster.profile.name, cluster.name());
        match outcome {
            Ok(_) => {
                tracing::warn!(profile = %profile, cluster = name, reason, "aws-auth set back: the caller lost access");
                let message = format!("aws-auth was set back to its former text, because {reason}");
                report.set_rolled_back(ErrorBody::new(ErrorCode::AccessRefused, message));
                let message = "the change was undone, because you lost access with it";
                report.record_aws_auth(&Err(ErrorBody::new(ErrorCode::AccessRefused, message)));
            }
            Err(error) => {
                tracing::error!(profile = %profile, cluster = name, reason, %error, "aws-auth not set back");
                let message = format!("you lost access ({reason}), and aws-auth could not be set back: {error}");
                report.note(
                    Severity::Error,
                    "not_rolled_back",
                    message,
                    Some(Hint::command(format!("rolecall access recover {profile}")).to_string()),
                );
            }
        }
    }

    /// Saves the former object in a file.
    async fn back_up(&self, cluster: &ClusterConnection<'_>, before: &ConfigMap) -> Result<PathBuf, ErrorBody> {
        let backups = cluster.backups()?;
        let failed = |reason: String| {
            ErrorBody::new(
                ErrorCode::Internal,
                format!("no backup of aws-auth was saved, so nothing was changed: {reason}"),
            )
        };
        let text = serde_json::to_vec_pretty(before.object()).map_err(|error| failed(error.to_string()))?;
        let now = self.aws.clock().stamp(self.aws.now());
        let saved = tokio::task::spawn_blocking(move || backups.save(now, &text)).await;
        match saved {
            Ok(Ok(path)) => Ok(path),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("a task ended unexpectedly".to_owned())),
        }
    }
}
