//! Changes of access entries.

use rolecall_protocol::{AccessAction, AccessPolicyScope, AccessSource, Severity};

use super::{EntryCall, PlannedChange, request};
use crate::cluster_access::principal::Principal;
use crate::cluster_access::reading::{AccessEntry, Reading, STANDARD, finding};

/// What an access entry has to allow.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) username: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) policies: Vec<AccessPolicyScope>,
}

/// Plans that a principal has at least what is wanted. It keeps what it has besides.
pub(super) fn grant(reading: &Reading, principal: &Principal, wanted: &Wanted) -> PlannedChange {
    let target = principal.to_string();
    let Some(entry) = reading.entry(principal) else { return create(target, STANDARD, wanted) };
    if entry.entry_type != STANDARD {
        let message = format!("the entry is of type {}, which has no groups and policies", entry.entry_type);
        return refused(target, "node_entry", message);
    }
    let mut calls = Vec::new();
    let groups = Some(request::union(&entry.groups, &wanted.groups)).filter(|groups| *groups != entry.groups);
    let username = wanted.username.clone().filter(|_| wanted.username != entry.username);
    if groups.is_some() || username.is_some() {
        calls.push(EntryCall::Update { principal: target.clone(), username, groups });
    }
    for policy in &wanted.policies {
        if let Some(policy) = widened(entry, policy) {
            calls.push(EntryCall::Associate { principal: target.clone(), policy });
        }
    }
    let action = if calls.is_empty() { AccessAction::Keep } else { AccessAction::Update };
    PlannedChange { calls, ..PlannedChange::new(target, AccessSource::AccessEntry, action) }
}

/// Plans a new access entry.
pub(super) fn create(target: String, entry_type: &str, wanted: &Wanted) -> PlannedChange {
    let entry = AccessEntry {
        principal: target.clone(),
        entry_type: entry_type.to_owned(),
        username: wanted.username.clone(),
        groups: request::union(&[], &wanted.groups),
        policies: wanted.policies.clone(),
    };
    let associate =
        wanted.policies.iter().map(|policy| EntryCall::Associate { principal: target.clone(), policy: policy.clone() });
    let calls = std::iter::once(EntryCall::Create(entry)).chain(associate).collect();
    PlannedChange { calls, ..PlannedChange::new(target, AccessSource::AccessEntry, AccessAction::Create) }
}

/// Returns the policy with a scope that includes both the present one and the wanted one, or `None` if it is the present
/// one. EKS replaces the scope of a policy that is associated again.
fn widened(entry: &AccessEntry, wanted: &AccessPolicyScope) -> Option<AccessPolicyScope> {
    let Some(present) = entry.policies.iter().find(|policy| policy.policy == wanted.policy) else {
        return Some(wanted.clone());
    };
    if present.namespaces.is_empty() {
        return None;
    }
    let namespaces = match wanted.namespaces.is_empty() {
        true => Vec::new(),
        false => request::union(&present.namespaces, &wanted.namespaces),
    };
    (namespaces != present.namespaces).then(|| AccessPolicyScope { policy: wanted.policy.clone(), namespaces })
}

/// Plans that an entry loses policies, or is deleted if `policies` is empty.
pub(super) fn revoke(entry: &AccessEntry, policies: &[AccessPolicyScope]) -> PlannedChange {
    let principal = entry.principal.clone();
    if policies.is_empty() {
        let change = PlannedChange::new(principal.clone(), AccessSource::AccessEntry, AccessAction::Delete);
        let change = PlannedChange { calls: vec![EntryCall::Delete { principal }], ..change };
        if entry.entry_type == STANDARD {
            return change;
        }
        let message = format!("nodes use this entry (type {}); without it they leave the cluster", entry.entry_type);
        return change.with(finding(Severity::Warning, "nodes_lose_access", message));
    }
    let has = |policy: &&AccessPolicyScope| entry.policies.iter().any(|present| present.policy == policy.policy);
    let calls: Vec<EntryCall> = policies
        .iter()
        .filter(has)
        .map(|policy| EntryCall::Disassociate { principal: principal.clone(), policy: policy.policy.clone() })
        .collect();
    let action = if calls.is_empty() { AccessAction::Keep } else { AccessAction::Update };
    PlannedChange { calls, ..PlannedChange::new(principal, AccessSource::AccessEntry, action) }
}

pub(super) fn refused(target: String, code: &str, message: String) -> PlannedChange {
    PlannedChange::refused(target, AccessSource::AccessEntry, finding(Severity::Error, code, message))
}
