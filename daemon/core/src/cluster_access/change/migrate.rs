//! The plan of `access migrate`: mappings of aws-auth become access entries.

use rolecall_protocol::{
    AccessAction, AccessFinding, AccessMigrateRequest, AccessPolicyScope, AccessSource, AuthenticationMode, Severity,
};

use super::entries::{self, Wanted};
use super::{ADMIN_POLICY, Plan, PlanContext, PlanError, PlannedChange, check_readable, known_aws_auth, request};
use crate::cluster_access::aws_auth::{AwsAuth, MapKey, Mapping, Subject};
use crate::cluster_access::principal::{IamKind, Principal};
use crate::cluster_access::reading::{Reading, finding};

/// Plans an access entry for each mapping that the cluster uses. aws-auth stays as it is; an entry overrides its mapping.
pub fn migrate(reading: &Reading, context: &PlanContext, wish: &AccessMigrateRequest) -> Result<Plan, PlanError> {
    let (mode_before, mode_after) = modes(reading, wish.mode)?;
    if mode_before.is_none() && reading.entries.is_none() {
        return Err(PlanError::Unread { source_name: "access entries" });
    }
    let data = known_aws_auth(reading)?;
    check_readable(&data, &MapKey::ALL)?;
    let read = AwsAuth::read(&data);
    let mut plan = Plan { mode_before, mode_after, ..Plan::default() };
    let last = read.last_mappings();
    for mapping in read.mappings().filter(|mapping| last.replacing(mapping).is_none()) {
        plan.changes.push(entry_for(reading, context, mapping));
    }
    for account in &read.accounts {
        let message = "no access entry can name a whole account; grant access to each of its principals";
        let reason = finding(Severity::Error, "whole_account", message);
        plan.changes.push(PlannedChange::refused(account.id.clone(), AccessSource::AwsAuth, reason));
    }
    plan.notes.extend(notes(&plan));
    plan.finish(reading, context, wish.change.force)
}

/// Returns the mode to set before the entries are made, and the one to set after.
fn modes(
    reading: &Reading,
    wanted: Option<AuthenticationMode>,
) -> Result<(Option<AuthenticationMode>, Option<AuthenticationMode>), PlanError> {
    use AuthenticationMode::{Api, ApiAndConfigMap, ConfigMap};
    let mode = reading.mode.ok_or(PlanError::Unread { source_name: "the authentication mode" })?;
    let one_way = || {
        let (from, to) = (super::mode_name(mode), super::mode_name(wanted.unwrap_or(mode)));
        let reason = format!("EKS does not change the authentication mode from {from} to {to}");
        Err(PlanError::InvalidRequest { reason })
    };
    match (mode, wanted) {
        (ConfigMap, None | Some(ConfigMap)) => Err(PlanError::NeedsAccessEntries),
        (ConfigMap, Some(ApiAndConfigMap)) => Ok((Some(ApiAndConfigMap), None)),
        (ConfigMap, Some(Api)) => Ok((Some(ApiAndConfigMap), Some(Api))),
        (ApiAndConfigMap, None | Some(ApiAndConfigMap)) => Ok((None, None)),
        (ApiAndConfigMap, Some(Api)) => Ok((None, Some(Api))),
        (Api, _) => Err(PlanError::IgnoresAwsAuth),
        _ => one_way(),
    }
}

fn notes(plan: &Plan) -> Vec<AccessFinding> {
    let mut notes = Vec::new();
    let refused = plan.changes.iter().filter(|planned| planned.change.action == AccessAction::Refuse).count();
    if refused > 0 && plan.mode_after == Some(AuthenticationMode::Api) {
        let message =
            format!("{refused} mapping(s) do not become entries and lose access, because mode API ignores aws-auth");
        notes.push(finding(Severity::Warning, "mappings_lost", message));
    }
    if plan.mode_after.is_none() {
        let message = "aws-auth stays as it is; remove its mappings when the entries have proved themselves";
        notes.push(finding(Severity::Note, "aws_auth_stays", message));
    }
    notes
}

/// Plans the entry of one mapping.
fn entry_for(reading: &Reading, context: &PlanContext, mapping: &Mapping) -> PlannedChange {
    let target = mapping.subject_text();
    if let Subject::PermissionSet { .. } = mapping.subject {
        let message =
            "an access entry names the role of the permission set itself; grant access to that role".to_owned();
        return refused(target, "permission_set", message);
    }
    let principal: Principal = match target.parse() {
        Ok(principal) => principal,
        Err(error) => return refused(target.clone(), "never_matches", format!("{target} {error}")),
    };
    if !mapping.matches(&principal) || principal.partition() != reading.partition {
        let message = "the mapping never matches today, so it is not carried over".to_owned();
        return refused(target, "never_matches", message);
    }
    if let Some(entry) = reading.entry_in_use(&principal) {
        let change = PlannedChange::new(entry.principal.clone(), AccessSource::AccessEntry, AccessAction::Keep);
        return change.with(finding(
            Severity::Note,
            "entry_exists",
            "it has an access entry, which overrides the mapping",
        ));
    }
    let full = match request::with_iam_path(&principal, context) {
        Ok(full) => full,
        Err(message) => return refused(target, "principal_missing", message),
    };
    if mapping.is_of_nodes() {
        return node_entry(reading, &full, mapping);
    }
    let (wanted, findings) = carried_over(&principal, mapping);
    let mut change = entries::create(full.to_string(), crate::cluster_access::reading::STANDARD, &wanted);
    change.change.findings = findings;
    if full.kind() == IamKind::Role && !context.iam.contains_key(&principal.to_string()) {
        let message = "IAM was not asked about this role; if it has a path, EKS rejects the entry";
        change = change.with(finding(Severity::Note, "path_unknown", message));
    }
    change
}

/// A role of nodes gets an entry without user name, groups and policies, of a type that EKS knows.
fn node_entry(reading: &Reading, principal: &Principal, mapping: &Mapping) -> PlannedChange {
    let target = principal.to_string();
    if principal.account() != reading.account || principal.kind() != IamKind::Role {
        let message = "an entry for nodes names a role of the cluster's own account".to_owned();
        return refused(target, "foreign_node_role", message);
    }
    let has = |group: &str| mapping.groups.iter().any(|other| other == group);
    let entry_type = if has("eks:kube-proxy-windows") {
        "EC2_WINDOWS"
    } else if has("system:node-proxier") {
        "FARGATE_LINUX"
    } else {
        "EC2_LINUX"
    };
    entries::create(target, entry_type, &Wanted::default())
}

/// Returns what an entry can have of a mapping, and what it cannot have.
fn carried_over(principal: &Principal, mapping: &Mapping) -> (Wanted, Vec<AccessFinding>) {
    let mut findings = Vec::new();
    let mut wanted = Wanted::default();
    for group in &mapping.groups {
        if group == "system:masters" {
            wanted.policies.push(AccessPolicyScope { policy: ADMIN_POLICY.to_owned(), namespaces: Vec::new() });
            let message = format!("system:masters becomes the policy {ADMIN_POLICY}");
            findings.push(finding(Severity::Note, "masters_to_policy", message));
        } else if request::is_reserved(group)
            || group.contains("{{")
            || request::names(None, std::slice::from_ref(group), true).is_err()
        {
            let message = format!("an access entry cannot have the group {group:?}, so the entry goes without it");
            findings.push(finding(Severity::Warning, "group_lost", message));
        } else {
            wanted.groups.push(group.clone());
        }
    }
    wanted.policies.dedup();
    if can_carry_username(&mapping.username, principal.kind()) {
        wanted.username = Some(mapping.username.clone());
    } else {
        let message = format!(
            "an access entry cannot have the user name {:?}; bindings to it do not apply to the new one, {}",
            mapping.username,
            principal.default_username()
        );
        findings.push(finding(Severity::Warning, "username_lost", message));
    }
    (wanted, findings)
}

/// EKS accepts `{{SessionName}}` and `{{SessionNameRaw}}` for roles, with a colon before.
fn can_carry_username(username: &str, kind: IamKind) -> bool {
    let plain = username.replace("{{SessionNameRaw}}", "{{SessionName}}");
    let rest = plain.replace("{{SessionName}}", "");
    let placeholder_fits = match plain.find("{{SessionName}}") {
        None => true,
        Some(at) => kind == IamKind::Role && plain[..at].contains(':'),
    };
    request::names(Some(username), &[], true).is_ok() && !rest.contains("{{") && placeholder_fits
}

fn refused(target: String, code: &str, message: String) -> PlannedChange {
    PlannedChange::refused(target, AccessSource::AwsAuth, finding(Severity::Error, code, message))
}
