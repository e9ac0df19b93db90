//! Changes of the authentication mode, which EKS makes in minutes.

use rolecall_aws::eks::{self, EksErrorReason, UpdateStatus};
use rolecall_protocol::{AuthenticationMode, ErrorBody, ErrorCode};

use super::AccessService;
use super::change::Progress;
use super::connection::ClusterConnection;
use super::error::eks_error;

/// How often the state of the update is read: with the default interval, for 20 min.
const MAX_POLLS: usize = 240;

impl AccessService {
    /// Sets the authentication mode and waits until the cluster has it.
    pub(super) async fn set_mode(
        &self,
        cluster: &ClusterConnection<'_>,
        mode: AuthenticationMode,
        progress: &Progress<'_>,
    ) -> Result<(), ErrorBody> {
        self.lock.check_unlocked().map_err(|error| error.0)?;
        let update = cluster.eks.update_authentication_mode(cluster.name(), mode).await;
        let mut update = update.map_err(|error| match error.reason {
            EksErrorReason::InUse => eks_error(&error).hint("Wait until the other update of the cluster has ended."),
            _ => eks_error(&error),
        })?;
        tracing::info!(profile = %cluster.profile.name, cluster = cluster.name(), ?mode, "authentication mode requested");
        for _ in 0..MAX_POLLS {
            match update.status {
                UpdateStatus::Successful => {
                    tracing::info!(profile = %cluster.profile.name, cluster = cluster.name(), ?mode, "authentication mode set");
                    return Ok(());
                }
                UpdateStatus::Failed | UpdateStatus::Cancelled => return Err(failed(&update)),
                UpdateStatus::InProgress | UpdateStatus::Unknown => {}
            }
            progress.activity("waiting for the authentication mode");
            tokio::time::sleep(self.settings().pace.update).await;
            update = match cluster.eks.describe_update(cluster.name(), &update.id).await {
                Ok(update) => update,
                // EKS goes on with the update, so one failed question does not end the wait.
                Err(error) if error.error.kind.is_transient() => update,
                Err(error) => return Err(eks_error(&error)),
            };
        }
        let body = ErrorBody::new(ErrorCode::Timeout, "EKS has not finished the change of the authentication mode");
        Err(body.hint("EKS goes on with it. Run the command again later."))
    }
}

fn failed(update: &eks::ClusterUpdate) -> ErrorBody {
    let reasons: Vec<&str> = update.errors.iter().filter_map(|error| error.error_message.as_deref()).collect();
    let reason = if reasons.is_empty() { "EKS names no reason".to_owned() } else { reasons.join("; ") };
    ErrorBody::new(ErrorCode::AccessRefused, format!("EKS did not change the authentication mode: {reason}"))
}
