//! The settings of a cluster: who may enter by access entries and aws-auth, and from which networks.

use rolecall_protocol::{AuthenticationMode, sanitize_for_terminal};
use serde::Deserialize;
use serde_json::json;

use super::{EksClient, EksCluster, EksError, path, request_token};

/// The networks of all addresses.
const ANY_NETWORK: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// How a cluster authenticates IAM principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessConfig {
    /// The mode. Absent for a cluster that is older than access entries, whose mode is `CONFIG_MAP`.
    pub authentication_mode: Option<AuthenticationMode>,
    /// Whether EKS made the creator of the cluster an administrator.
    pub bootstrap_cluster_creator_admin_permissions: Option<bool>,
}

/// The network of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VpcConfig {
    /// Whether the API server has a public address.
    pub endpoint_public_access: Option<bool>,
    /// Whether the API server has an address in the VPC.
    pub endpoint_private_access: Option<bool>,
    /// The networks that reach the public address.
    pub public_access_cidrs: Option<Vec<String>>,
    /// The VPC.
    pub vpc_id: Option<String>,
}

/// The networks from which an API server can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAccess {
    /// Every network.
    Public,
    /// The VPC, if it has private access, and these networks. Safe for a terminal.
    PublicFrom(Vec<String>),
    /// The VPC, and the networks that are connected to it.
    Private,
    /// EKS does not say.
    Unknown,
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
    /// The networks from which the API server can be reached.
    #[must_use]
    pub fn endpoint_access(&self) -> EndpointAccess {
        let Some(network) = &self.resources_vpc_config else { return EndpointAccess::Unknown };
        match (network.endpoint_public_access, network.public_access_cidrs.as_deref()) {
            (Some(false), _) => EndpointAccess::Private,
            (Some(true), None | Some([])) => EndpointAccess::Public,
            (Some(true), Some(networks)) if networks.iter().any(|network| ANY_NETWORK.contains(&network.as_str())) => {
                EndpointAccess::Public
            }
            (Some(true), Some(networks)) => {
                EndpointAccess::PublicFrom(networks.iter().map(|network| sanitize_for_terminal(network)).collect())
            }
            (None, _) => EndpointAccess::Unknown,
        }
    }

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

    #[test]
    fn endpoint_access_is_public_limited_or_private() {
        let of = |network: &str| {
            let text = format!(r#"{{"resourcesVpcConfig":{network}}}"#);
            serde_json::from_str::<EksCluster>(&text).unwrap().endpoint_access()
        };
        let office =
            r#"{"endpointPublicAccess":true,"endpointPrivateAccess":true,"publicAccessCidrs":["203.0.113.0/24"]}"#;
        assert_eq!(of(office), EndpointAccess::PublicFrom(vec!["203.0.113.0/24".to_owned()]));
        let public = r#"{"endpointPublicAccess":true,"publicAccessCidrs":["203.0.113.0/24","0.0.0.0/0"]}"#;
        assert_eq!(of(public), EndpointAccess::Public);
        let private = r#"{"endpointPublicAccess":false,"endpointPrivateAccess":true,"publicAccessCidrs":[]}"#;
        assert_eq!(of(private), EndpointAccess::Private);
        assert_eq!(of("null"), EndpointAccess::Unknown);
        assert_eq!(of("{}"), EndpointAccess::Unknown);
    }
}
