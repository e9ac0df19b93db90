//! The caller's own access, checked with tokens that no cache of the API server knows.

use rolecall_aws::error::ConnectionFailure;
use rolecall_aws::kubernetes::{KubernetesError, UserInfo};
use rolecall_protocol::{AccessSource, Severity};

use super::AccessService;
use super::change::{Planned, Progress};
use super::connection::ClusterConnection;
use super::error::kubernetes_error;
use super::report::Report;

/// How often the access is checked after a change, until the authenticator has seen it.
const MAX_CHECKS: usize = 10;

/// What a check found.
pub(super) enum CallerCheck {
    /// The caller has what it had.
    Kept,
    /// The caller cannot enter, or has lost groups.
    Lost(String),
    /// The API server did not say it.
    Unknown(String),
}

/// Returns the caller's user. `None` if the API server accepts the token and does not say the user.
pub(super) async fn user(cluster: &ClusterConnection<'_>) -> Result<Option<UserInfo>, KubernetesError> {
    let client = cluster
        .kubernetes(true)
        .await
        .map_err(|error| KubernetesError::Unreachable { failure: ConnectionFailure::Other, reason: error.message })?;
    match client.self_subject_review().await {
        Ok(user) => Ok(Some(user)),
        // Before Kubernetes 1.28 there is no such review, and the token was accepted.
        Err(KubernetesError::Forbidden { .. } | KubernetesError::NotFound { .. } | KubernetesError::Status(404)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl AccessService {
    /// Checks several times that the caller has the user and groups of `before`: the authenticator sees a change of aws-auth
    /// after some seconds. Ends with the first loss that a second check confirms.
    pub(super) async fn check_caller(
        &self,
        cluster: &ClusterConnection<'_>,
        planned: &Planned,
        before: Option<&UserInfo>,
        progress: &Progress<'_>,
    ) -> CallerCheck {
        // aws-auth does not change the access of a principal with an access entry.
        let rows = planned.read.reading.explain(&planned.caller).rows;
        let has_entry = rows.iter().any(|row| row.applies && row.source == AccessSource::AccessEntry);
        let mut last = CallerCheck::Kept;
        let mut is_suspected = false;
        let mut left = if has_entry { 1 } else { MAX_CHECKS };
        while left > 0 {
            left -= 1;
            progress.activity("checking your own access");
            let loss = match user(cluster).await {
                Ok(now) => missing_groups(before, now.as_ref()),
                Err(KubernetesError::Unauthorized) => Some("the API server rejects a new token (401)".to_owned()),
                Err(error) => {
                    last = CallerCheck::Unknown(error.to_string());
                    None
                }
            };
            match loss {
                Some(reason) if is_suspected => return CallerCheck::Lost(reason),
                Some(_) => {
                    is_suspected = true;
                    left = left.max(1);
                }
                None => {
                    is_suspected = false;
                    tokio::time::sleep(self.settings().pace.check).await;
                }
            }
        }
        last
    }

    /// Waits until the caller can enter, and notes whether it can.
    pub(super) async fn wait_until_entered(
        &self,
        cluster: &ClusterConnection<'_>,
        report: &mut Report,
        progress: &Progress<'_>,
    ) {
        if !cluster.has_api_server() {
            let message = "your access was not checked, because the API server is not known";
            return report.note(Severity::Warning, "access_not_checked", message, None);
        }
        let mut error = KubernetesError::Unauthorized;
        for _ in 0..MAX_CHECKS {
            progress.activity("waiting until the cluster accepts your role");
            error = match user(cluster).await {
                Ok(_) => return report.note(Severity::Note, "access_checked", "the cluster accepts your role", None),
                Err(error) => error,
            };
            tokio::time::sleep(self.settings().pace.check).await;
        }
        let body = kubernetes_error(&error);
        report.note(
            Severity::Warning,
            "access_not_checked",
            format!("your access was not confirmed: {}", body.message),
            None,
        );
    }
}

/// Returns which groups the user has lost; `None` if it has lost none or they are unknown.
fn missing_groups(before: Option<&UserInfo>, now: Option<&UserInfo>) -> Option<String> {
    let (before, now) = (before?, now?);
    let lost: Vec<&str> =
        before.groups.iter().filter(|group| !now.groups.contains(group)).map(String::as_str).collect();
    (!lost.is_empty()).then(|| format!("your user lost the groups {}", lost.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(groups: &[&str]) -> UserInfo {
        UserInfo { groups: groups.iter().map(ToString::to_string).collect(), ..UserInfo::default() }
    }

    #[test]
    fn missing_groups_names_those_that_are_lost() {
        let before = user(&["system:masters", "dev"]);
        assert_eq!(missing_groups(Some(&before), Some(&user(&["dev", "system:masters", "ops"]))), None);
        let lost = missing_groups(Some(&before), Some(&user(&["dev"]))).unwrap();
        assert_eq!(lost, "your user lost the groups system:masters");
        assert_eq!(missing_groups(None, Some(&user(&[]))), None);
        assert_eq!(missing_groups(Some(&before), None), None);
    }
}
