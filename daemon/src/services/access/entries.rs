//! Changes of access entries: several principals at the same time, the calls for one principal in order.

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::eks::{AccessEntryChange, AccessScope, EksError, EksErrorReason, NewAccessEntry};
use rolecall_core::cluster_access::change::{EntryCall, Plan, PlannedChange};
use rolecall_core::cluster_access::reading::AccessEntry;
use rolecall_protocol::{AccessPolicyScope, ErrorBody, ErrorCode};

use super::change::Progress;
use super::connection::ClusterConnection;
use super::error::eks_error;
use super::report::Report;
use super::{AccessService, MAX_PARALLEL_CALLS};

impl AccessService {
    /// Makes the changes of access entries, at most [`MAX_PARALLEL_CALLS`] at the same time. A failed change does not stop the
    /// others; if the agent is locked, the changes that have not begun are not made.
    pub(super) async fn change_entries(
        &self,
        cluster: &ClusterConnection<'_>,
        plan: &Plan,
        report: &mut Report,
        progress: &Progress<'_>,
    ) {
        let mut changes = Vec::new();
        for (index, planned) in plan.changes.iter().enumerate() {
            if !planned.calls.is_empty() {
                changes.push(self.change_entry(cluster, index, planned));
            }
        }
        let total = changes.len();
        let mut outcomes = iter(changes).buffer_unordered(MAX_PARALLEL_CALLS);
        let mut done = 0;
        while let Some((index, outcome)) = outcomes.next().await {
            done += 1;
            report.record(index, outcome);
            progress.report(done, total);
        }
    }

    /// Makes the calls for one principal. The error of a later call says which ones were made.
    async fn change_entry(
        &self,
        cluster: &ClusterConnection<'_>,
        index: usize,
        planned: &PlannedChange,
    ) -> (usize, Result<(), ErrorBody>) {
        let mut done: Vec<String> = Vec::new();
        for call in &planned.calls {
            if let Err(error) = self.lock.check_unlocked() {
                return (index, Err(after(&done, error.0)));
            }
            let outcome = Box::pin(make(cluster, call)).await;
            let principal = principal_of(call);
            match outcome {
                Ok(()) => {
                    tracing::info!(
                        profile = %cluster.profile.name,
                        cluster = cluster.name(),
                        principal,
                        call = %describe(call),
                        "access entry changed"
                    );
                    done.push(describe(call));
                }
                Err(error) => {
                    let body = after(&done, call_error(call, &error));
                    tracing::warn!(
                        profile = %cluster.profile.name,
                        cluster = cluster.name(),
                        principal,
                        call = %describe(call),
                        error = %body.message,
                        "access entry not changed"
                    );
                    return (index, Err(body));
                }
            }
        }
        (index, Ok(()))
    }
}

/// Makes one call. What is gone already needs no deletion.
async fn make(cluster: &ClusterConnection<'_>, call: &EntryCall) -> Result<(), EksError> {
    let (eks, name) = (&cluster.eks, cluster.name());
    match call {
        EntryCall::Create(entry) => eks.create_access_entry(name, &new_entry(entry)).await.map(drop),
        EntryCall::Update { principal, username, groups } => {
            let change = AccessEntryChange { username: username.clone(), kubernetes_groups: groups.clone() };
            eks.update_access_entry(name, principal, &change).await.map(drop)
        }
        EntryCall::Delete { principal } => gone(eks.delete_access_entry(name, principal).await),
        EntryCall::Associate { principal, policy } => {
            eks.associate_policy(name, principal, &cluster.policy_arn(&policy.policy), &scope(policy)).await
        }
        EntryCall::Disassociate { principal, policy } => {
            gone(eks.disassociate_policy(name, principal, &cluster.policy_arn(policy)).await)
        }
    }
}

fn new_entry(entry: &AccessEntry) -> NewAccessEntry {
    NewAccessEntry {
        principal_arn: entry.principal.clone(),
        kind: Some(entry.entry_type.clone()),
        username: entry.username.clone(),
        kubernetes_groups: entry.groups.clone(),
    }
}

fn scope(policy: &AccessPolicyScope) -> AccessScope {
    match policy.namespaces.as_slice() {
        [] => AccessScope::Cluster,
        namespaces => AccessScope::Namespace { namespaces: namespaces.to_vec() },
    }
}

fn gone(deleted: Result<(), EksError>) -> Result<(), EksError> {
    match deleted {
        Err(EksError { reason: EksErrorReason::NotFound, .. }) => Ok(()),
        deleted => deleted,
    }
}

fn principal_of(call: &EntryCall) -> &str {
    match call {
        EntryCall::Create(entry) => &entry.principal,
        EntryCall::Update { principal, .. }
        | EntryCall::Delete { principal }
        | EntryCall::Associate { principal, .. }
        | EntryCall::Disassociate { principal, .. } => principal,
    }
}

/// What a call does, for the report and the log.
fn describe(call: &EntryCall) -> String {
    match call {
        EntryCall::Create(_) => "access entry created".to_owned(),
        EntryCall::Update { .. } => "access entry updated".to_owned(),
        EntryCall::Delete { .. } => "access entry deleted".to_owned(),
        EntryCall::Associate { policy, .. } => format!("policy {} associated", policy.policy),
        EntryCall::Disassociate { policy, .. } => format!("policy {policy} removed"),
    }
}

fn call_error(call: &EntryCall, error: &EksError) -> ErrorBody {
    let raced = match (call, &error.reason) {
        (EntryCall::Create(_), EksErrorReason::InUse) => "it got an access entry since the plan was shown",
        (EntryCall::Update { .. } | EntryCall::Associate { .. }, EksErrorReason::NotFound) => {
            "its access entry was deleted since the plan was shown"
        }
        _ => return eks_error(error),
    };
    ErrorBody::new(ErrorCode::AccessChanged, raced).hint("Run the command again.")
}

/// Adds to an error what was done before it.
fn after(done: &[String], error: ErrorBody) -> ErrorBody {
    match done {
        [] => error,
        done => ErrorBody { message: format!("{} (done before: {})", error.message, done.join(", ")), ..error },
    }
}
