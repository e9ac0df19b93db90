//! Plans of grants and revocations by access entries.

use rolecall_core::cluster_access::change::{EntryCall, Plan, PlanError, PlannedChange};
use rolecall_core::cluster_access::principal::{IamKind, Principal};
use rolecall_core::cluster_access::reading::{AccessEntry, Reading};
use rolecall_protocol::{
    AccessAction, AccessChange, AccessFinding, AccessPolicyScope, AccessRow, AccessSource, AuthenticationMode,
    PrincipalKind, Severity,
};

/// The type of the entries of users and programs.
const STANDARD: &str = "STANDARD";
/// The policy of administrators.
pub(super) const CLUSTER_ADMIN: &str = "AmazonEKSClusterAdminPolicy";
/// What names of users and groups of access entries may not start with.
const RESERVED_PREFIXES: [&str; 5] = ["system:", "eks:", "aws:", "amazon:", "iam:"];

/// A principal of a request, or why it is refused.
pub(super) type Requested = Result<Principal, Refused>;

/// A principal that the request is not valid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// What the user gave.
    pub(super) given: String,
    /// Why.
    pub(super) finding: AccessFinding,
}

/// What every principal of a grant gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Granted {
    pub(super) policies: Vec<AccessPolicyScope>,
    pub(super) groups: Vec<String>,
    pub(super) username: Option<String>,
}

/// Plans a grant.
pub(super) fn grant(reading: &Reading, principals: &[Requested], granted: &Granted) -> Result<Plan, PlanError> {
    check_names(granted)?;
    let entries = entries(reading)?;
    let mut plan = Plan::default();
    for principal in principals {
        plan.changes.push(match principal {
            Err(refused) => refuse(&refused.given, None, refused.finding.clone()),
            Ok(principal) => match find(entries, principal) {
                None => create(principal, granted),
                Some(entry) if entry.entry_type != STANDARD => {
                    let message = format!("has an access entry of type {}, which cannot change", entry.entry_type);
                    refuse(&principal.to_string(), Some(entry), finding(Severity::Error, "node_entry", message))
                }
                Some(entry) => extend(entry, granted),
            },
        });
    }
    Ok(plan)
}

/// Plans a revocation of these policies, or of the whole access.
pub(super) fn revoke(
    reading: &Reading,
    principals: &[Requested],
    policies: &[String],
    caller: &Principal,
    is_forced: bool,
) -> Result<Plan, PlanError> {
    let entries = entries(reading)?;
    let mut plan = Plan::default();
    for principal in principals {
        plan.changes.push(match principal {
            Err(refused) => refuse(&refused.given, None, refused.finding.clone()),
            Ok(principal) => match find(entries, principal) {
                None => keep(&principal.to_string(), None),
                Some(entry) if entry.entry_type != STANDARD && !is_forced => {
                    let message =
                        format!("has an access entry of type {}: without it nodes leave the cluster", entry.entry_type);
                    let hint = Some("Add --force if the nodes are gone.".to_owned());
                    let finding = AccessFinding { hint, ..finding(Severity::Error, "node_entry", message) };
                    refuse(&principal.to_string(), Some(entry), finding)
                }
                Some(entry) => remove(entry, policies),
            },
        });
    }
    if !is_forced {
        check_lock_out(entries, &plan, caller)?;
    }
    Ok(plan)
}

/// Errors if a plan removes the caller's own entry or the last administrator.
fn check_lock_out(entries: &[AccessEntry], plan: &Plan, caller: &Principal) -> Result<(), PlanError> {
    let removed = |entry: &AccessEntry| {
        plan.changes
            .iter()
            .find(|change| change.change.before.as_ref().is_some_and(|row| row.principal == entry.principal))
    };
    let deleted = |entry: &AccessEntry| removed(entry).is_some_and(|it| it.change.action == AccessAction::Delete);
    if let Some(own) = find(entries, caller).filter(|own| deleted(own)) {
        return Err(PlanError::OwnLastWayIn { principal: own.principal.clone() });
    }
    let is_admin = |policies: &[AccessPolicyScope]| {
        policies.iter().any(|scope| scope.policy == CLUSTER_ADMIN && scope.namespaces.is_empty())
    };
    let is_admin_after = |entry: &AccessEntry| match removed(entry) {
        Some(change) => change.change.after.as_ref().is_some_and(|row| is_admin(&row.policies)),
        None => is_admin(&entry.policies),
    };
    let administrators: Vec<&AccessEntry> = entries.iter().filter(|entry| is_admin(&entry.policies)).collect();
    match administrators.last() {
        Some(last) if !administrators.iter().any(|entry| is_admin_after(entry)) => {
            Err(PlanError::LastAdministrator { principal: last.principal.clone() })
        }
        _ => Ok(()),
    }
}

/// Returns an access entry as a row.
pub(super) fn row(entry: &AccessEntry, mode: Option<AuthenticationMode>) -> AccessRow {
    let kind = match entry.principal.parse::<Principal>().map(|principal| principal.kind()) {
        Ok(IamKind::Role) => PrincipalKind::Role,
        Ok(IamKind::User) => PrincipalKind::User,
        Err(_) => PrincipalKind::Other,
    };
    AccessRow {
        principal: entry.principal.clone(),
        kind,
        source: AccessSource::AccessEntry,
        entry_type: Some(entry.entry_type.clone()),
        username: entry.username.clone(),
        groups: entry.groups.clone(),
        policies: entry.policies.clone(),
        applies: mode != Some(AuthenticationMode::ConfigMap),
        findings: Vec::new(),
    }
}

/// Returns a finding without a hint.
pub(super) fn finding(severity: Severity, code: &str, message: impl Into<String>) -> AccessFinding {
    AccessFinding { severity, code: code.to_owned(), message: message.into(), hint: None, key: None, line: None }
}

fn entries(reading: &Reading) -> Result<&[AccessEntry], PlanError> {
    match (reading.mode, &reading.entries) {
        (Some(AuthenticationMode::ConfigMap), _) => Err(PlanError::NeedsAccessEntries),
        (_, Some(entries)) => Ok(entries),
        (_, None) => Err(PlanError::Unread { source_name: "access entries" }),
    }
}

/// Errors if EKS refuses a name of the request for every principal.
fn check_names(granted: &Granted) -> Result<(), PlanError> {
    let named =
        granted.groups.iter().map(|name| ("group", name)).chain(granted.username.iter().map(|name| ("user", name)));
    for (what, name) in named {
        if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
            let advice =
                if name == "system:masters" { format!("; use the policy {CLUSTER_ADMIN}") } else { String::new() };
            let reason = format!("an access entry may not name the {what} \"{name}\": EKS reserves {prefix}{advice}");
            return Err(PlanError::InvalidRequest { reason });
        }
    }
    Ok(())
}

fn find<'a>(entries: &'a [AccessEntry], principal: &Principal) -> Option<&'a AccessEntry> {
    let canonical = principal.canonical();
    let is_same = |entry: &&AccessEntry| {
        entry.principal.parse::<Principal>().is_ok_and(|other| other.canonical().is_same(&canonical))
    };
    entries.iter().find(is_same)
}

fn create(principal: &Principal, granted: &Granted) -> PlannedChange {
    let target = principal.to_string();
    let entry = AccessEntry {
        principal: target.clone(),
        entry_type: STANDARD.to_owned(),
        username: granted.username.clone(),
        groups: granted.groups.clone(),
        policies: granted.policies.clone(),
    };
    let mut after = row(&entry, None);
    after.username.get_or_insert_with(|| principal.default_username());
    let associate = granted.policies.iter().map(|policy| associate(&target, policy));
    let calls = std::iter::once(EntryCall::Create(entry)).chain(associate).collect();
    planned(target, AccessAction::Create, (None, Some(after)), Vec::new(), calls)
}

/// Adds what an entry does not have. Nothing is taken away, so a policy for the whole cluster stays.
fn extend(entry: &AccessEntry, granted: &Granted) -> PlannedChange {
    let mut after = entry.clone();
    let mut calls = Vec::new();
    after.groups.extend(granted.groups.iter().filter(|group| !entry.groups.contains(group)).cloned());
    if let Some(username) = &granted.username {
        after.username = Some(username.clone());
    }
    if (&after.groups, &after.username) != (&entry.groups, &entry.username) {
        calls.push(EntryCall::Update {
            principal: entry.principal.clone(),
            username: granted.username.clone().filter(|_| after.username != entry.username),
            groups: (after.groups != entry.groups).then(|| after.groups.clone()),
        });
    }
    for policy in &granted.policies {
        let has = after.policies.iter().position(|other| other.policy == policy.policy);
        let wider = match has.map(|index| &after.policies[index]) {
            None => policy.clone(),
            Some(other) if other.namespaces.is_empty() => continue,
            Some(_) if policy.namespaces.is_empty() => policy.clone(),
            Some(other) => {
                let mut wider = other.clone();
                wider.namespaces.extend(policy.namespaces.iter().filter(|it| !other.namespaces.contains(it)).cloned());
                if wider == *other {
                    continue;
                }
                wider
            }
        };
        calls.push(associate(&entry.principal, &wider));
        match has {
            Some(index) => after.policies[index] = wider,
            None => after.policies.push(wider),
        }
    }
    if calls.is_empty() {
        return keep(&entry.principal, Some(entry));
    }
    let rows = (Some(row(entry, None)), Some(row(&after, None)));
    planned(entry.principal.clone(), AccessAction::Update, rows, Vec::new(), calls)
}

fn remove(entry: &AccessEntry, policies: &[String]) -> PlannedChange {
    let principal = entry.principal.clone();
    let before = Some(row(entry, None));
    if policies.is_empty() {
        let calls = vec![EntryCall::Delete { principal: principal.clone() }];
        return planned(principal, AccessAction::Delete, (before, None), Vec::new(), calls);
    }
    let mut after = entry.clone();
    after.policies.retain(|scope| !policies.contains(&scope.policy));
    let removed = entry.policies.iter().filter(|scope| policies.contains(&scope.policy));
    let disassociate = |scope: &AccessPolicyScope| EntryCall::Disassociate {
        principal: principal.clone(),
        policy: scope.policy.clone(),
    };
    let calls: Vec<_> = removed.map(disassociate).collect();
    if calls.is_empty() {
        return keep(&principal, Some(entry));
    }
    planned(principal, AccessAction::Update, (before, Some(row(&after, None))), Vec::new(), calls)
}

fn associate(principal: &str, policy: &AccessPolicyScope) -> EntryCall {
    EntryCall::Associate { principal: principal.to_owned(), policy: policy.clone() }
}

fn keep(target: &str, entry: Option<&AccessEntry>) -> PlannedChange {
    let present = entry.map(|entry| row(entry, None));
    planned(target.to_owned(), AccessAction::Keep, (present.clone(), present), Vec::new(), Vec::new())
}

fn refuse(target: &str, entry: Option<&AccessEntry>, finding: AccessFinding) -> PlannedChange {
    let before = entry.map(|entry| row(entry, None));
    planned(target.to_owned(), AccessAction::Refuse, (before, None), vec![finding], Vec::new())
}

fn planned(
    target: String,
    action: AccessAction,
    (before, after): (Option<AccessRow>, Option<AccessRow>),
    findings: Vec<AccessFinding>,
    calls: Vec<EntryCall>,
) -> PlannedChange {
    let source = AccessSource::AccessEntry;
    PlannedChange { change: AccessChange { target, action, before, after, findings }, source, calls }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "arn:aws:iam::111122223333:role/admin";
    const DEV: &str = "arn:aws:iam::111122223333:role/team/dev";

    fn scope(policy: &str, namespaces: &[&str]) -> AccessPolicyScope {
        AccessPolicyScope {
            policy: policy.to_owned(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        }
    }

    fn entry(principal: &str, policies: &[AccessPolicyScope]) -> AccessEntry {
        AccessEntry {
            principal: principal.to_owned(),
            entry_type: STANDARD.to_owned(),
            username: None,
            groups: Vec::new(),
            policies: policies.to_vec(),
        }
    }

    fn reading(entries: Vec<AccessEntry>) -> Reading {
        Reading {
            cluster: "prod".to_owned(),
            partition: "aws".to_owned(),
            account: "111122223333".to_owned(),
            mode: Some(AuthenticationMode::ApiAndConfigMap),
            entries: Some(entries),
            aws_auth: rolecall_core::cluster_access::reading::AwsAuthState::Absent,
            missing: std::collections::BTreeSet::new(),
        }
    }

    fn granted(policies: &[AccessPolicyScope]) -> Granted {
        Granted { policies: policies.to_vec(), ..Granted::default() }
    }

    fn actions(plan: &Plan) -> Vec<AccessAction> {
        plan.changes.iter().map(|change| change.change.action).collect()
    }

    fn requested(arns: &[&str]) -> Vec<Requested> {
        arns.iter().map(|arn| Ok(arn.parse().unwrap())).collect()
    }

    #[test]
    fn grant_creates_what_is_missing_and_keeps_the_rest() {
        let view = scope("AmazonEKSViewPolicy", &["web"]);
        let dev = reading(vec![entry(DEV, &[view.clone()])]);
        let plan = grant(&dev, &requested(&[DEV, ADMIN]), &granted(&[view])).unwrap();
        assert_eq!(actions(&plan), [AccessAction::Keep, AccessAction::Create]);
        assert_eq!(plan.changes[1].calls.len(), 2);
        let after = plan.changes[1].change.after.as_ref().unwrap();
        assert_eq!(after.username.as_deref(), Some("arn:aws:sts::111122223333:assumed-role/admin/{{SessionName}}"));
    }

    #[test]
    fn grant_never_narrows_a_scope() {
        let (whole, web) = (scope("AmazonEKSViewPolicy", &[]), scope("AmazonEKSViewPolicy", &["web"]));
        let plan = |has: &AccessPolicyScope, wanted: &AccessPolicyScope| {
            let plan =
                grant(&reading(vec![entry(DEV, &[has.clone()])]), &requested(&[DEV]), &granted(&[wanted.clone()]));
            plan.unwrap().changes.remove(0)
        };
        assert_eq!(plan(&whole, &web).change.action, AccessAction::Keep);
        assert_eq!(plan(&web, &whole).calls, [associate(DEV, &whole)]);
        let both = scope("AmazonEKSViewPolicy", &["web", "api"]);
        assert_eq!(plan(&web, &scope("AmazonEKSViewPolicy", &["api"])).calls, [associate(DEV, &both)]);
    }

    #[test]
    fn grant_of_reserved_names_is_refused() {
        for (groups, username) in [(vec!["system:masters".to_owned()], None), (vec![], Some("eks:x".to_owned()))] {
            let granted = Granted { groups, username, ..Granted::default() };
            let refused = grant(&reading(vec![]), &requested(&[DEV]), &granted);
            assert!(matches!(refused, Err(PlanError::InvalidRequest { .. })), "{refused:?}");
        }
    }

    #[test]
    fn revoke_of_own_entry_or_last_administrator_needs_force() {
        let admin = scope(CLUSTER_ADMIN, &[]);
        let both = reading(vec![entry(ADMIN, std::slice::from_ref(&admin)), entry(DEV, &[])]);
        let (caller, other): (Principal, Principal) = (DEV.parse().unwrap(), ADMIN.parse().unwrap());
        // The caller's session names the role without its path.
        let own = revoke(&both, &requested(&[DEV]), &[], &caller.without_path(), false);
        assert!(matches!(own, Err(PlanError::OwnLastWayIn { .. })), "{own:?}");
        let last = revoke(&both, &requested(&[ADMIN]), &[], &caller, false);
        assert!(matches!(last, Err(PlanError::LastAdministrator { .. })), "{last:?}");
        let policy = revoke(&both, &requested(&[ADMIN]), &[CLUSTER_ADMIN.to_owned()], &caller, false);
        assert!(matches!(policy, Err(PlanError::LastAdministrator { .. })), "{policy:?}");
        assert_eq!(actions(&revoke(&both, &requested(&[DEV]), &[], &caller, true).unwrap()), [AccessAction::Delete]);
        assert_eq!(actions(&revoke(&both, &requested(&[DEV]), &[], &other, false).unwrap()), [AccessAction::Delete]);
    }
}
