//! The responses about clusters: what AWS describes, and what their API servers answer.

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::name::{ClusterName, Region};
use crate::profile::SessionStatus;

/// The response of [`Endpoint::Cluster`](crate::Endpoint::Cluster): a cluster as `eks:DescribeCluster` returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The name of the cluster.
    pub name: ClusterName,
    /// The region of the cluster.
    pub region: Region,
    /// The URL of the API server.
    pub server: String,
    /// The CA bundle: PEM in base64, the form that a kubeconfig uses.
    pub certificate_authority_data: String,
    /// The pin: SHA-256 of the decoded bundle, in hex.
    pub ca_sha256: String,
    /// The Kubernetes version: `1.33`.
    #[serde(default)]
    pub version: Option<String>,
    /// The status that EKS reports: `ACTIVE`.
    #[serde(default)]
    pub status: Option<String>,
}

/// The body of [`Endpoint::ClusterAccess`](crate::Endpoint::ClusterAccess): the API server that gets the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessQuery {
    /// The URL of the API server.
    pub server: String,
    /// Its CA bundle: PEM in base64.
    pub certificate_authority_data: String,
}

/// The response of [`Endpoint::ClusterAccess`](crate::Endpoint::ClusterAccess): what the API server says about a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "access", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClusterAccess {
    /// The cluster maps the role to a user.
    Mapped {
        /// The name of the user. Absent if the API server does not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// The groups of the user.
        #[serde(default)]
        groups: Vec<String>,
    },
    /// The API server answered 401: no access entry and no line of aws-auth maps the role.
    NotMapped,
    /// The API server did not answer, or with something else.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// An answer that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The response of [`Endpoint::Probe`](crate::Endpoint::Probe): the role was assumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probed {
    /// The session that the profile gets.
    pub session: SessionStatus,
    /// The field `cluster`, or else the field `cluster_problem`.
    #[serde(flatten)]
    pub cluster: ProbedCluster,
}

/// The result of `eks:DescribeCluster` in a probe. It may fail although the role can use the cluster, since many such
/// roles have no permission to describe it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbedCluster {
    /// The cluster.
    Cluster(Cluster),
    /// Why the cluster could not be described.
    ClusterProblem(ErrorBody),
}
