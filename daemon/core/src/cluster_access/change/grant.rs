//! The plan of `access grant`.

use rolecall_protocol::{AccessGrantRequest, AccessSource, AccessVia, Severity};

use super::entries::{self, Wanted};
use super::{Plan, PlanContext, PlanError, PlannedChange, check_readable, known_aws_auth, mappings, request};
use crate::cluster_access::aws_auth::MapKey;
use crate::cluster_access::reading::{Reading, finding};

/// Plans that principals get access. A principal that is not valid is refused and the others are planned.
pub fn grant(reading: &Reading, context: &PlanContext, wish: &AccessGrantRequest) -> Result<Plan, PlanError> {
    let via = match wish.via {
        Some(via) => via,
        None => default_via(reading)?,
    };
    let plan = match via {
        AccessVia::AccessEntries => grant_entries(reading, context, wish)?,
        AccessVia::AwsAuth => grant_mappings(reading, context, wish)?,
    };
    plan.finish(reading, context, wish.change.force)
}

/// Access entries where the cluster has them, else aws-auth.
pub(super) fn default_via(reading: &Reading) -> Result<AccessVia, PlanError> {
    match reading.uses_entries() {
        Some(true) => Ok(AccessVia::AccessEntries),
        Some(false) => Ok(AccessVia::AwsAuth),
        None => Err(PlanError::Unread { source_name: "the authentication mode" }),
    }
}

fn grant_entries(reading: &Reading, context: &PlanContext, wish: &AccessGrantRequest) -> Result<Plan, PlanError> {
    check_entries(reading)?;
    request::names(wish.username.as_deref(), &wish.groups, true)?;
    let policies = request::policies(&wish.policies, &wish.namespaces, context)?;
    let wanted = Wanted { username: wish.username.clone(), groups: wish.groups.clone(), policies };
    let mut plan = Plan::default();
    for principal in request::principals(&wish.principals, reading, context) {
        plan.changes.push(match principal {
            Ok(principal) => entries::grant(reading, &principal, &wanted),
            Err((target, reason)) => PlannedChange::refused(target, AccessSource::AccessEntry, reason),
        });
    }
    if wanted.policies.is_empty() && wanted.groups.is_empty() {
        let message =
            "the request names neither policies nor groups, so it allows only what a binding grants to the user name";
        plan.notes.push(finding(Severity::Note, "no_permissions", message));
    }
    Ok(plan)
}

fn grant_mappings(reading: &Reading, context: &PlanContext, wish: &AccessGrantRequest) -> Result<Plan, PlanError> {
    if reading.uses_aws_auth() == Some(false) {
        return Err(PlanError::IgnoresAwsAuth);
    }
    if !wish.policies.is_empty() || !wish.namespaces.is_empty() {
        let reason =
            "access policies need access entries, and this change is made in aws-auth: name groups instead".to_owned();
        return Err(PlanError::InvalidRequest { reason });
    }
    request::names(wish.username.as_deref(), &wish.groups, false)?;
    let mut data = known_aws_auth(reading)?;
    check_readable(&data, &[MapKey::Roles, MapKey::Users])?;
    let mut plan = Plan::default();
    for principal in request::principals(&wish.principals, reading, context) {
        let principal = match principal {
            Ok(principal) => principal,
            Err((target, reason)) => {
                plan.changes.push(PlannedChange::refused(target, AccessSource::AwsAuth, reason));
                continue;
            }
        };
        let mut change = mappings::grant(&mut data, &principal, wish.username.as_deref(), &wish.groups)?;
        if reading.uses_entries() == Some(true) && reading.entry_in_use(&principal).is_some() {
            let message = "an access entry for the same principal overrides this mapping";
            change = change.with(finding(Severity::Warning, "overridden", message));
        }
        plan.changes.push(change);
    }
    plan.aws_auth = Some(data).filter(|data| reading.aws_auth_data().as_ref() != Some(data));
    Ok(plan)
}

/// Errors if the cluster has no access entries, or if they were not read.
pub(super) fn check_entries(reading: &Reading) -> Result<(), PlanError> {
    match (reading.uses_entries(), &reading.entries) {
        (Some(false), _) => Err(PlanError::NeedsAccessEntries),
        (None, _) => Err(PlanError::Unread { source_name: "the authentication mode" }),
        (Some(true), None) => Err(PlanError::Unread { source_name: "access entries" }),
        (Some(true), Some(_)) => Ok(()),
    }
}
