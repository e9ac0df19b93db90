//! The plan of `access recover`: the caller becomes an administrator by an access entry.

use rolecall_protocol::{AccessPolicyScope, AccessRecoverRequest, AuthenticationMode, Severity};

use super::entries::{self, Wanted};
use super::{ADMIN_POLICY, Plan, PlanContext, PlanError, check_readable};
use crate::cluster_access::aws_auth::edit::{self, NewMapping};
use crate::cluster_access::aws_auth::{AwsAuth, Data, MapKey};
use crate::cluster_access::principal::Principal;
use crate::cluster_access::reading::{AwsAuthState, Reading, STANDARD, finding};

/// Plans that the caller can enter as an administrator: access entries are enabled if the cluster has none, and the caller
/// gets an entry with [`ADMIN_POLICY`].
pub fn recover(reading: &Reading, context: &PlanContext, wish: &AccessRecoverRequest) -> Result<Plan, PlanError> {
    let mode = reading.mode.ok_or(PlanError::Unread { source_name: "the authentication mode" })?;
    let mut plan = Plan::default();
    if mode == AuthenticationMode::ConfigMap {
        plan.mode_before = Some(AuthenticationMode::ApiAndConfigMap);
    } else if reading.entries.is_none() {
        return Err(PlanError::Unread { source_name: "access entries" });
    }
    let policy = AccessPolicyScope { policy: ADMIN_POLICY.to_owned(), namespaces: Vec::new() };
    let wanted = Wanted { policies: vec![policy], ..Wanted::default() };
    let existing = reading.entry_in_use(&context.caller);
    let change = match existing.map(|entry| (entry.principal.parse::<Principal>(), &entry.entry_type)) {
        Some((Ok(principal), entry_type)) if entry_type == STANDARD => entries::grant(reading, &principal, &wanted),
        Some(_) => {
            let message = "your principal has an entry for nodes, which can have no policy".to_owned();
            entries::refused(context.caller.to_string(), "node_entry", message)
        }
        None => entries::create(context.caller.to_string(), STANDARD, &wanted),
    };
    let is_new = existing.is_none();
    plan.changes.push(change);
    if is_new {
        let message = "the new entry makes you an administrator; revoke it when the cluster is repaired";
        plan.notes.push(finding(Severity::Note, "revoke_afterwards", message));
    }
    if wish.repair_aws_auth && mode == AuthenticationMode::Api {
        let message = "the authentication mode is API, so aws-auth is not repaired";
        plan.notes.push(finding(Severity::Note, "aws_auth_ignored", message));
    }
    plan.finish(reading, context, wish.change.force)
}

/// Returns a valid aws-auth in place of the present one: the backup if there is one, else the present data with a new
/// `mapRoles` of the node roles in place of each text that is not valid. Returns `None` if the present one is valid and
/// not empty, or if there is nothing to write.
pub fn repaired_aws_auth(
    present: &AwsAuthState,
    backup: Option<&Data>,
    node_roles: &[Principal],
) -> Result<Option<Data>, PlanError> {
    let data = match present {
        AwsAuthState::Unread => return Err(PlanError::Unread { source_name: "aws-auth" }),
        AwsAuthState::Absent => Data::new(),
        AwsAuthState::Present(data) => data.clone(),
    };
    let is_empty = AwsAuth::read(&data).mappings().next().is_none();
    if !is_empty && check_readable(&data, &MapKey::ALL).is_ok() {
        return Ok(None);
    }
    if let Some(backup) = backup.filter(|backup| check_readable(backup, &MapKey::ALL).is_ok()) {
        return Ok(Some(backup.clone()).filter(|backup| *backup != data));
    }
    let mut repaired = data.clone();
    repaired.retain(|key, _| {
        let known = MapKey::ALL.into_iter().find(|known| known.as_str() == key);
        known.is_none_or(|known| check_readable(&data, &[known]).is_ok())
    });
    for role in node_roles {
        if AwsAuth::read(&repaired).mappings().any(|mapping| mapping.matches(role)) {
            continue;
        }
        let mapping = NewMapping {
            key: MapKey::Roles,
            arn: role.canonical().to_string(),
            username: "system:node:{{EC2PrivateDNSName}}".to_owned(),
            groups: vec!["system:bootstrappers".to_owned(), "system:nodes".to_owned()],
        };
        repaired = edit::add(&repaired, &mapping).map_err(super::mappings::refused)?;
    }
    Ok(Some(repaired).filter(|repaired| *repaired != data))
}
