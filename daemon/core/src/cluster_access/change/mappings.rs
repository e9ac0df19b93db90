//! Changes of mappings of aws-auth.

use rolecall_protocol::{AccessAction, AccessSource, Severity};

use super::{PlanError, PlannedChange, request};
use crate::cluster_access::aws_auth::edit::{self, EditError, MappingChange, NewMapping};
use crate::cluster_access::aws_auth::{AwsAuth, Data, MapKey, Mapping};
use crate::cluster_access::principal::{IamKind, Principal};
use crate::cluster_access::reading::finding;

/// Edits the data so that a principal has at least these groups, and this user name if one is given.
pub(super) fn grant(
    data: &mut Data,
    principal: &Principal,
    username: Option<&str>,
    groups: &[String],
) -> Result<PlannedChange, PlanError> {
    let canonical = principal.canonical();
    let key = match principal.kind() {
        IamKind::Role => MapKey::Roles,
        IamKind::User => MapKey::Users,
    };
    let read = AwsAuth::read(data);
    let existing = read.mappings().filter(|mapping| mapping.key == key && mapping.matches(&canonical)).last();
    let planned = |target: String, action| PlannedChange::new(target, AccessSource::AwsAuth, action);
    let Some(mapping) = existing else {
        let username = username.map_or_else(|| canonical.default_username(), str::to_owned);
        let new = NewMapping { key, arn: canonical.to_string(), username, groups: request::union(&[], groups) };
        *data = edit::add(data, &new).map_err(refused)?;
        return Ok(planned(canonical.to_string(), AccessAction::Create));
    };
    let change = MappingChange {
        username: username.filter(|username| *username != mapping.username).map(str::to_owned),
        groups: Some(request::union(&mapping.groups, groups)).filter(|groups| *groups != mapping.groups),
    };
    let target = mapping.subject_text();
    if change == MappingChange::default() {
        return Ok(planned(target, AccessAction::Keep));
    }
    *data = edit::change(data, key, mapping.index, &change).map_err(refused)?;
    Ok(planned(target, AccessAction::Update))
}

/// Removes every item that names a principal, or that has this text. Returns a change for each text that is removed.
pub(super) fn revoke(
    data: &mut Data,
    principal: Option<&Principal>,
    text: &str,
) -> Result<Vec<PlannedChange>, PlanError> {
    let read = AwsAuth::read(data);
    let names = |mapping: &&Mapping| {
        let subject = mapping.subject_text();
        let by_arn = principal.is_some_and(|principal| subject.eq_ignore_ascii_case(&principal.to_string()));
        by_arn || principal.is_some_and(|principal| is_named(mapping, principal)) || subject == text
    };
    let mappings = read
        .mappings()
        .filter(names)
        .map(|mapping| (mapping.key, mapping.index, mapping.subject_text(), mapping.is_of_nodes()));
    let accounts = read.accounts.iter().filter(|account| account.id == text);
    let accounts = accounts.map(|account| (MapKey::Accounts, account.index, account.id.clone(), false));
    let mut items: Vec<(MapKey, usize, String, bool)> = mappings.chain(accounts).collect();
    // From the end, so that the indices of the others stay.
    items.sort_by_key(|(key, index, ..)| std::cmp::Reverse((*key, *index)));
    let mut changes: Vec<PlannedChange> = Vec::new();
    for (key, index, target, is_of_nodes) in items {
        *data = edit::remove(data, key, index).map_err(refused)?;
        if changes.iter().any(|planned| planned.change.target == target) {
            continue;
        }
        let mut change = PlannedChange::new(target, AccessSource::AwsAuth, AccessAction::Delete);
        if is_of_nodes {
            let message = "nodes use this mapping; without it or an access entry they leave the cluster";
            change = change.with(finding(Severity::Warning, "nodes_lose_access", message));
        }
        changes.push(change);
    }
    Ok(changes)
}

/// A permission set names many roles, so a change for one role leaves it.
fn is_named(mapping: &Mapping, principal: &Principal) -> bool {
    use crate::cluster_access::aws_auth::Subject;
    !matches!(mapping.subject, Subject::PermissionSet { .. }) && mapping.matches(principal)
}

pub(super) fn refused(error: EditError) -> PlanError {
    PlanError::AwsAuth { reason: error.to_string() }
}
