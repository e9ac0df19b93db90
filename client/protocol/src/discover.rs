//! The search for clusters: the messages of `rolecall discover`.

use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, ClusterAccess};
use crate::error::ErrorBody;
use crate::name::{ClusterName, Region, SourceName};

/// The body of [`Endpoint::Discover`](crate::Endpoint::Discover).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoverRequest {
    /// The configured sources whose clusters are searched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceName>,
    /// The AWS profiles whose clusters are searched for. Without sources and AWS profiles: every source, and every AWS profile
    /// that no source names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aws_profiles: Vec<String>,
    /// Whether to search with every role of every account that the logins to IAM Identity Center list.
    pub permission_sets: bool,
    /// The ids of the only accounts of IAM Identity Center to search. Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// The names of the only roles of IAM Identity Center to search with. Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub role_names: Vec<String>,
    /// The regions. Empty for the regions of the configuration and of AWS's own files, or for all if these have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Whether to search every region.
    pub all_regions: bool,
}

/// A line of the response of [`Endpoint::Discover`](crate::Endpoint::Discover). The last one is [`Self::Done`] or
/// [`Self::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscoverStep {
    /// A part of the search has ended.
    Progress {
        /// The searched parts. A part is one identity in one region.
        done: usize,
        /// The parts that are known so far.
        total: usize,
        /// What was searched last: `AWS profile work, eu-west-1`.
        what: String,
    },
    /// A cluster.
    Found {
        /// The cluster.
        cluster: Box<DiscoveredCluster>,
    },
    /// A part that could not be searched.
    Skipped {
        /// What: `AWS profile work, eu-west-1`.
        what: String,
        /// Why.
        error: ErrorBody,
    },
    /// Everything has been searched.
    Done,
    /// The request was refused.
    Failed {
        /// Why.
        error: ErrorBody,
    },
    /// A step that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A cluster, and the identity that sees it. A cluster that several identities see is found several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveredCluster {
    /// Its name.
    pub name: ClusterName,
    /// Its region.
    pub region: Region,
    /// The id of its account. Absent if AWS did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who sees it.
    pub identity: DiscoveredIdentity,
    /// What EKS says of it, or why EKS does not.
    #[serde(flatten)]
    pub described: DescribedCluster,
    /// Whether the cluster accepts the identity. Absent if its API server is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<ClusterAccess>,
}

/// The result of DescribeCluster for a cluster that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescribedCluster {
    /// The cluster.
    Cluster(Cluster),
    /// Why there is no description.
    ClusterProblem(ErrorBody),
}

/// The credentials that see a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscoveredIdentity {
    /// A configured source.
    Source {
        /// Its name.
        source: SourceName,
    },
    /// An AWS profile that no source names.
    AwsProfile {
        /// Its name.
        aws_profile: String,
    },
    /// A role of IAM Identity Center for which there is no AWS profile.
    PermissionSet {
        /// The name of the `[sso-session]` in AWS's own files.
        sso_session: String,
        /// The id of the account.
        account: String,
        /// The name of the account.
        account_name: String,
        /// The name of the role.
        role_name: String,
    },
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}
