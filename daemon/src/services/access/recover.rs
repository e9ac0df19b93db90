//! The recover endpoint: the way back into a cluster for a principal that IAM allows to change its access.

use std::sync::Arc;

use rolecall_core::cluster_access::change::{
    self, ADMIN_POLICY, EntryCall, Plan, PlanContext, PlannedChange, repaired_aws_auth,
};
use rolecall_core::cluster_access::principal::{IamKind, Principal};
use rolecall_core::cluster_access::reading::{AccessEntry, AwsAuthState, Reading};
use rolecall_protocol::{
    AccessAction, AccessChange, AccessFinding, AccessRecoverRequest, AccessStep, ChangeOptions, ErrorBody, ErrorCode,
    Hint, ProfileName, Severity,
};
use tokio::sync::mpsc::Sender;

use super::change::{CallerAccess, ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::error::{finding, plan_error};
use super::restore::newest_valid;
use super::{AccessService, caller, compute, principals, reading};

/// The types of the entries of EC2 nodes, whose roles aws-auth has to map.
const EC2_TYPES: [&str; 2] = ["EC2_LINUX", "EC2_WINDOWS"];

impl AccessService {
    /// Plans or makes the way back into a cluster, and sends its steps.
    pub async fn recover(
        self: Arc<Self>,
        name: ProfileName,
        request: AccessRecoverRequest,
        steps: Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        self.change(&name, &request, &steps).await
    }
}

impl ChangeRequest for AccessRecoverRequest {
    const VERB: &'static str = "recover";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading who may enter the cluster");
        let read = reading::read(cluster).await?;
        let (context, _) = principals::plan_context(cluster, &[], &[]).await?;
        let request = self.clone();
        let plan = move |reading: &Reading, context: &PlanContext| change::recover(reading, context, &request);
        let mut planned = Planned::compute(read, context, false, plan).await?;
        planned.caller_access = CallerAccess::Gains;
        let (plan, caller) = (&mut planned.plan, &planned.caller);
        progress.activity("checking whether the cluster accepts your role");
        if cluster.has_api_server() && caller::user(cluster).await.is_err() {
            plan.changes.iter_mut().for_each(replace_stale);
        }
        if self.repair_aws_auth {
            repair(plan, &planned.read.reading, cluster).await?;
        }
        if let Some(change) = plan.changes.iter().find(|change| change.change.action.is_change()) {
            let message = "when the cluster is repaired, the new access can be taken away again";
            let hint = Some(take_away(&change.change, caller, cluster.profile.name.as_str()));
            plan.notes.push(AccessFinding { hint, ..finding(Severity::Note, "take_away_again", message) });
        }
        Ok(planned)
    }
}

/// Returns the command that takes away what the plan gives, and nothing else.
fn take_away(change: &AccessChange, caller: &Principal, profile: &str) -> String {
    let kind = if caller.kind() == IamKind::User { "user" } else { "role" };
    let policy = if change.before.is_some() { format!(" --policy {ADMIN_POLICY}") } else { String::new() };
    Hint::command(format!("rolecall access revoke {profile} --{kind} {caller}{policy} --force")).to_string()
}

/// Adds a valid aws-auth to the plan, if the present one is not.
async fn repair(plan: &mut Plan, reading: &Reading, cluster: &ClusterConnection<'_>) -> Result<(), ErrorBody> {
    if reading.aws_auth == AwsAuthState::Unread {
        let message = "aws-auth cannot be read before the cluster accepts your role";
        let hint = Some("Run the command again afterwards to repair aws-auth.".to_owned());
        plan.notes.push(AccessFinding { hint, ..finding(Severity::Warning, "aws_auth_unread", message) });
        return Ok(());
    }
    let backup = newest_valid(cluster.backups()?).await;
    let entries = reading.entries.iter().flatten();
    let nodes = entries.filter(|entry| EC2_TYPES.contains(&entry.entry_type.as_str()));
    let node_roles: Vec<Principal> = nodes.filter_map(|entry| entry.principal.parse().ok()).collect();
    let (present, before) = (reading.aws_auth.clone(), reading.aws_auth_data().unwrap_or_default());
    let repaired = compute(move || {
        let data = repaired_aws_auth(&present, backup.as_ref(), &node_roles)?;
        Ok(data.map(|data| (change::diff(&before, &data), data)))
    });
    if let Some((diff, data)) = repaired.await?.map_err(|error| plan_error(&error))? {
        plan.diff = Some(diff);
        plan.aws_auth = Some(data);
    } else {
        let message = "aws-auth needs no repair, or nothing is known that could be written";
        plan.notes.push(finding(Severity::Note, "aws_auth_not_repaired", message));
    }
    Ok(())
}

/// Replaces an entry that does not let its principal in: a role that was deleted and created again does not match the entry of
/// the former one.
fn replace_stale(planned: &mut PlannedChange) {
    let change = &mut planned.change;
    let Some(before) = change.before.clone().filter(|_| change.action == AccessAction::Keep) else { return };
    let principal = before.principal.clone();
    let entry = AccessEntry {
        principal: principal.clone(),
        entry_type: before.entry_type.clone().unwrap_or_default(),
        username: None,
        groups: before.groups.clone(),
        policies: before.policies.clone(),
    };
    let associate = before.policies.iter().cloned();
    let associate = associate.map(|policy| EntryCall::Associate { principal: principal.clone(), policy });
    let mut calls = vec![EntryCall::Delete { principal: principal.clone() }, EntryCall::Create(entry)];
    calls.extend(associate);
    planned.calls = calls;
    change.action = AccessAction::Update;
    change.after = Some(before);
    let message = "the entry is made again: the cluster rejects its principal, which may have been created again";
    change.findings.push(finding(Severity::Note, "stale_entry", message));
}
