//! Reads who may enter a cluster: the authentication mode, the access entries and aws-auth. What cannot be read is listed
//! with its reason.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::eks::{self, AccessScope, AssociatedPolicy, EksError, EksErrorReason};
use rolecall_aws::kubernetes::ConfigMap;
use rolecall_core::cluster_access::reading::{AccessEntry, AwsAuthState, Reading};
use rolecall_protocol::{AccessPolicyScope, AuthenticationMode, ErrorBody, Unread};

use super::MAX_PARALLEL_CALLS;
use super::connection::ClusterConnection;
use super::error::{eks_error, kubernetes_error};

/// The namespace of aws-auth.
pub(super) const NAMESPACE: &str = "kube-system";
/// Its name.
pub(super) const NAME: &str = "aws-auth";

/// What was read of a cluster, and what could not be read.
pub(super) struct ClusterReading {
    pub(super) reading: Reading,
    /// aws-auth as an object, to be replaced.
    pub(super) aws_auth: Option<ConfigMap>,
    pub(super) unread: Vec<Unread>,
}

/// Reads a cluster. Errors if nothing can be read.
pub(super) async fn read(cluster: &ClusterConnection<'_>) -> Result<ClusterReading, ErrorBody> {
    read_also_as(cluster, &[]).await
}

/// Reads a cluster. What the caller cannot read is read with the connections of `others`. Errors if nothing can be read.
pub(super) async fn read_also_as(
    cluster: &ClusterConnection<'_>,
    others: &[ClusterConnection<'_>],
) -> Result<ClusterReading, ErrorBody> {
    let from_eks = Box::pin(read_eks_also_as(cluster, others));
    let from_kubernetes = Box::pin(read_aws_auth_also_as(cluster, others));
    let (from_eks, from_kubernetes) = tokio::join!(from_eks, from_kubernetes);
    let mut unread = Vec::new();
    let mut keep = |what: &str, error: ErrorBody| unread.push(Unread { what: what.to_owned(), error });
    let mode = from_eks.mode.map_err(|error| keep("authentication mode", error)).ok();
    let entries = from_eks.entries.map_err(|error| keep("access entries", error)).ok();
    let aws_auth = from_kubernetes.map_err(|error| keep("aws-auth", error)).ok();
    if let (None, None, None, Some(first)) = (&mode, &entries, &aws_auth, unread.first()) {
        return Err(first.error.clone());
    }
    let state = match &aws_auth {
        None => AwsAuthState::Unread,
        Some(None) => AwsAuthState::Absent,
        Some(Some(found)) => AwsAuthState::Present(found.data()),
    };
    let reading = Reading {
        cluster: cluster.name().to_owned(),
        partition: cluster.partition().to_owned(),
        account: cluster.account().to_owned(),
        mode,
        entries,
        aws_auth: state,
        missing: BTreeSet::new(),
    };
    Ok(ClusterReading { reading, aws_auth: aws_auth.flatten(), unread })
}

/// What EKS says.
struct FromEks {
    mode: Result<AuthenticationMode, ErrorBody>,
    entries: Result<Vec<AccessEntry>, ErrorBody>,
}

async fn read_eks_also_as(cluster: &ClusterConnection<'_>, others: &[ClusterConnection<'_>]) -> FromEks {
    let mut found = read_eks(cluster).await;
    for other in others {
        if found.mode.is_ok() && found.entries.is_ok() {
            break;
        }
        let more = read_eks(other).await;
        if found.mode.is_err() && more.mode.is_ok() {
            found.mode = more.mode;
        }
        if found.entries.is_err() && more.entries.is_ok() {
            found.entries = more.entries;
        }
    }
    found
}

async fn read_eks(cluster: &ClusterConnection<'_>) -> FromEks {
    let described = cluster.eks.describe_cluster_retrying(cluster.name()).await;
    let mode = described.map(|found| found.authentication_mode()).map_err(|error| eks_error(&error));
    // Without access entries, EKS refuses to list them.
    if mode == Ok(AuthenticationMode::ConfigMap) {
        return FromEks { mode, entries: Ok(Vec::new()) };
    }
    match read_entries(cluster).await {
        Ok(entries) => FromEks { mode, entries: Ok(entries) },
        // The refusal says the mode where DescribeCluster is denied.
        Err(EksError { reason: EksErrorReason::InvalidRequest, .. }) if mode.is_err() => {
            FromEks { mode: Ok(AuthenticationMode::ConfigMap), entries: Ok(Vec::new()) }
        }
        Err(error) => FromEks { mode, entries: Err(eks_error(&error)) },
    }
}

/// Reads every access entry with its policies.
async fn read_entries(cluster: &ClusterConnection<'_>) -> Result<Vec<AccessEntry>, EksError> {
    let principals = cluster.eks.list_access_entries(cluster.name()).await?;
    let reads: Vec<_> = principals.iter().map(|principal| Box::pin(read_entry(cluster, principal))).collect();
    let mut reads = iter(reads).buffered(MAX_PARALLEL_CALLS);
    let mut entries = Vec::with_capacity(principals.len());
    while let Some(entry) = reads.next().await {
        entries.extend(entry?);
    }
    Ok(entries)
}

/// Reads one access entry. `None` if it was deleted since it was listed.
async fn read_entry(cluster: &ClusterConnection<'_>, principal: &str) -> Result<Option<AccessEntry>, EksError> {
    let entry = cluster.eks.describe_access_entry(cluster.name(), principal).await;
    let Some(entry) = unless_gone(entry)? else { return Ok(None) };
    let is_standard = entry.kind.as_deref().is_none_or(|kind| kind == eks::STANDARD);
    // The entries of nodes have no policies.
    let policies = if is_standard {
        unless_gone(cluster.eks.list_associated_policies(cluster.name(), principal).await)?.unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(Some(AccessEntry {
        principal: entry.principal_arn,
        entry_type: entry.kind.unwrap_or_else(|| eks::STANDARD.to_owned()),
        username: entry.username,
        groups: entry.kubernetes_groups,
        policies: policies.into_iter().map(policy).collect(),
    }))
}

fn unless_gone<T>(read: Result<T, EksError>) -> Result<Option<T>, EksError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(EksError { reason: EksErrorReason::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn policy(policy: AssociatedPolicy) -> AccessPolicyScope {
    let name = policy.policy_arn.rsplit('/').next().unwrap_or_default().to_owned();
    let namespaces = match policy.access_scope {
        AccessScope::Cluster => Vec::new(),
        AccessScope::Namespace { namespaces } => namespaces,
    };
    AccessPolicyScope { policy: name, namespaces }
}

async fn read_aws_auth_also_as(
    cluster: &ClusterConnection<'_>,
    others: &[ClusterConnection<'_>],
) -> Result<Option<ConfigMap>, ErrorBody> {
    let mut found = read_aws_auth(cluster).await;
    for other in others {
        if found.is_ok() {
            break;
        }
        let more = read_aws_auth(other).await;
        if more.is_ok() {
            found = more;
        }
    }
    found
}

async fn read_aws_auth(cluster: &ClusterConnection<'_>) -> Result<Option<ConfigMap>, ErrorBody> {
    let client = cluster.kubernetes(false).await?;
    client.config_map(NAMESPACE, NAME).await.map_err(|error| kubernetes_error(&error))
}
