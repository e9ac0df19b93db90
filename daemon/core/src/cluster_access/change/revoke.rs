//! The plan of `access revoke`.

use rolecall_protocol::{AccessAction, AccessRevokeRequest, AccessSource, AccessVia, GivenPrincipal, Severity};

use super::grant::{check_entries, default_via};
use super::{Plan, PlanContext, PlanError, PlannedChange, check_readable, entries, known_aws_auth, mappings, request};
use crate::cluster_access::aws_auth::{Data, MapKey};
use crate::cluster_access::principal::Principal;
use crate::cluster_access::reading::{AccessEntry, Reading, finding};

/// Plans that principals lose access. Without `via` they lose it in every source of the cluster.
pub fn revoke(reading: &Reading, context: &PlanContext, wish: &AccessRevokeRequest) -> Result<Plan, PlanError> {
    let policies = request::policies(&wish.policies, &[], context)?;
    let (by_entries, by_aws_auth) = sources(reading, wish)?;
    let old = if by_aws_auth { known_aws_auth(reading)? } else { Data::new() };
    let mut data = old.clone();
    let mut plan = Plan::default();
    for given in unique(&wish.principals) {
        let principal = request::given_principal(given, &reading.partition, &reading.account);
        let mut changes = Vec::new();
        if by_entries {
            let entries = entries_of(reading, principal.as_ref().ok(), &given.name);
            changes.extend(entries.map(|entry| entries::revoke(entry, &policies)));
        }
        if by_aws_auth {
            changes.extend(mappings::revoke(&mut data, principal.as_ref().ok(), &given.name)?);
        }
        if changes.is_empty() {
            changes.push(without_access(given, principal, by_entries));
        }
        plan.changes.extend(changes);
    }
    // A text that is not valid may name the principal.
    if by_aws_auth && !by_entries && data == old {
        check_readable(&data, &MapKey::ALL)?;
    }
    if by_aws_auth {
        plan.notes.extend(unreadable_note(&data));
    }
    plan.aws_auth = Some(data).filter(|data| *data != old);
    plan.finish(reading, context, wish.change.force)
}

/// Returns whether the request is about access entries, and about aws-auth.
fn sources(reading: &Reading, wish: &AccessRevokeRequest) -> Result<(bool, bool), PlanError> {
    let only_policies = !wish.policies.is_empty();
    match wish.via {
        Some(AccessVia::AwsAuth) if only_policies => {
            let reason = "aws-auth has no access policies".to_owned();
            Err(PlanError::InvalidRequest { reason })
        }
        Some(AccessVia::AwsAuth) => Ok((false, true)),
        Some(AccessVia::AccessEntries) => check_entries(reading).map(|()| (true, false)),
        None if only_policies => check_entries(reading).map(|()| (true, false)),
        None => match default_via(reading)? {
            AccessVia::AwsAuth => Ok((false, true)),
            AccessVia::AccessEntries => {
                check_entries(reading)?;
                Ok((true, reading.uses_aws_auth() == Some(true)))
            }
        },
    }
}

fn unique(given: &[GivenPrincipal]) -> Vec<&GivenPrincipal> {
    let mut unique: Vec<&GivenPrincipal> = Vec::new();
    for given in given {
        if !unique.contains(&given) {
            unique.push(given);
        }
    }
    unique
}

/// The entries of a principal. A role that is given without its path names every entry of this name in the account.
fn entries_of<'a>(
    reading: &'a Reading,
    principal: Option<&'a Principal>,
    text: &'a str,
) -> impl Iterator<Item = &'a AccessEntry> {
    reading.entries.iter().flatten().filter(move |entry| {
        let is_named = principal.is_some_and(|principal| {
            let of_entry = entry.principal.parse::<Principal>();
            of_entry.is_ok_and(|of_entry| {
                of_entry == *principal || (principal.path() == "/" && of_entry.without_path() == *principal)
            })
        });
        is_named || entry.principal == text
    })
}

/// The change of a principal that no source names.
fn without_access(
    given: &GivenPrincipal,
    principal: Result<Principal, crate::cluster_access::principal::PrincipalError>,
    by_entries: bool,
) -> PlannedChange {
    let source = if by_entries { AccessSource::AccessEntry } else { AccessSource::AwsAuth };
    match principal {
        Ok(principal) => {
            let message = format!("{principal} has no access");
            let change = PlannedChange::new(principal.to_string(), source, AccessAction::Keep);
            change.with(finding(Severity::Note, "no_access", message))
        }
        Err(error) => {
            let message = format!("{} {error}", given.name);
            PlannedChange::refused(given.name.clone(), source, finding(Severity::Error, "invalid_principal", message))
        }
    }
}

fn unreadable_note(data: &Data) -> Option<rolecall_protocol::AccessFinding> {
    let error = check_readable(data, &MapKey::ALL).err()?;
    Some(finding(Severity::Warning, "aws_auth_unreadable", format!("{error}; its mappings were not searched")))
}
