//! The authentication mode of a cluster: whether access entries, the ConfigMap aws-auth, or both decide who may enter.

use rolecall_protocol::AuthenticationMode;
use serde::Deserialize;
use serde_json::json;

use super::{EksClient, EksCluster, EksError, path, request_token};

/// How a cluster authenticates IAM principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessConfig {
    /// The mode. Absent for a cluster that is older than access entries, whose mode is `CONFIG_MAP`.
    pub authentication_mode: Option<AuthenticationMode>,
    /// Whether EKS made the creator of the cluster an administrator.
    pub bootstrap_cluster_creator_admin_permissions: Option<bool>,
}

/// An update of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterUpdate {
    /// The id, for DescribeUpdate.
    pub id: String,
    /// The state.
    pub status: UpdateStatus,
    /// Why the update failed. The texts are those of EKS: they are not made safe for a terminal.
    #[serde(default)]
    pub errors: Vec<UpdateError>,
}

/// The state of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum UpdateStatus {
    /// EKS works on it.
    InProgress,
    /// It failed: see [`ClusterUpdate::errors`].
    Failed,
    /// It was cancelled.
    Cancelled,
    /// The cluster has the new setting.
    Successful,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Why an update failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateError {
    /// Such as `AccessDenied`.
    pub error_code: Option<String>,
    /// The message.
    pub error_message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct UpdateOutput {
    update: ClusterUpdate,
}

impl EksCluster {
    /// The authentication mode. A cluster without one is older than access entries.
    #[must_use]
    pub fn authentication_mode(&self) -> AuthenticationMode {
        let mode = self.access_config.and_then(|config| config.authentication_mode);
        mode.unwrap_or(AuthenticationMode::ConfigMap)
    }
}

impl EksClient<'_> {
    /// UpdateClusterConfig with another authentication mode. Errors with `InUse` while another update is in progress, and with
    /// `InvalidParameter` if the mode cannot change so.
    pub async fn update_authentication_mode(
        &self,
        cluster: &str,
        mode: AuthenticationMode,
    ) -> Result<ClusterUpdate, EksError> {
        let body = json!({ "accessConfig": { "authenticationMode": mode }, "clientRequestToken": request_token() });
        let path = path(&["clusters", cluster, "update-config"]);
        let output: UpdateOutput = self.retrying("UpdateClusterConfig", "POST", path, Some(&body)).await?;
        Ok(output.update)
    }

    /// DescribeUpdate.
    pub async fn describe_update(&self, cluster: &str, id: &str) -> Result<ClusterUpdate, EksError> {
        let path = path(&["clusters", cluster, "updates", id]);
        let output: UpdateOutput = self.retrying("DescribeUpdate", "GET", path, None).await?;
        Ok(output.update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_mode_is_spelt_as_eks_does() {
        for (mode, text) in [
            (AuthenticationMode::ConfigMap, "\"CONFIG_MAP\""),
            (AuthenticationMode::ApiAndConfigMap, "\"API_AND_CONFIG_MAP\""),
            (AuthenticationMode::Api, "\"API\""),
        ] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), text);
            assert_eq!(serde_json::from_str::<AuthenticationMode>(text).unwrap(), mode);
        }
    }

    #[test]
    fn authentication_mode_of_an_old_cluster_is_config_map() {
        let of = |text: &str| serde_json::from_str::<EksCluster>(text).unwrap().authentication_mode();
        assert_eq!(of("{}"), AuthenticationMode::ConfigMap);
        assert_eq!(of(r#"{"accessConfig":{}}"#), AuthenticationMode::ConfigMap);
        assert_eq!(of(r#"{"accessConfig":{"authenticationMode":"API"}}"#), AuthenticationMode::Api);
        assert_eq!(of(r#"{"accessConfig":{"authenticationMode":"NEW"}}"#), AuthenticationMode::Unknown);
    }
}
