//! Checks of what a request names: principals, policies, user names and groups.

use rolecall_protocol::{AccessFinding, AccessPolicyScope, GivenPrincipal, PrincipalKind, Severity, similar_names};

use super::{PlanContext, PlanError};
use crate::cluster_access::principal::{IamKind, Principal, PrincipalError};
use crate::cluster_access::reading::{Reading, finding};

/// The starts of user names and groups that EKS rejects in access entries.
const RESERVED: [&str; 5] = ["system:", "eks:", "aws:", "amazon:", "iam:"];

/// Returns the principal that a user gave: an ARN, or a name that gets the partition and account of the cluster.
pub fn given_principal(given: &GivenPrincipal, partition: &str, account: &str) -> Result<Principal, PrincipalError> {
    let kind = match given.kind {
        PrincipalKind::Role => Some(IamKind::Role),
        PrincipalKind::User => Some(IamKind::User),
        _ => None,
    };
    Principal::from_name_or_arn(given.name.trim(), kind, partition, account)
}

/// A principal of a request, or the text that the user gave and why it is refused.
pub(super) type Checked = Result<Principal, (String, AccessFinding)>;

/// Checks the principals of a request. Each principal is returned once, with the path that IAM knows.
pub(super) fn principals(given: &[GivenPrincipal], reading: &Reading, context: &PlanContext) -> Vec<Checked> {
    let mut checked: Vec<Checked> = Vec::new();
    for given in given {
        let principal = check(given, reading, context);
        let is_known = match &principal {
            Ok(principal) => checked.iter().flatten().any(|other| other == principal),
            Err((text, _)) => checked.iter().any(|other| matches!(other, Err((known, _)) if known == text)),
        };
        if !is_known {
            checked.push(principal);
        }
    }
    checked
}

fn check(given: &GivenPrincipal, reading: &Reading, context: &PlanContext) -> Checked {
    let refuse = |target: String, code: &str, message: String| Err((target, finding(Severity::Error, code, message)));
    let principal = match given_principal(given, &reading.partition, &reading.account) {
        Ok(principal) => principal,
        Err(error) => return refuse(given.name.clone(), "invalid_principal", format!("{} {error}", given.name)),
    };
    if principal.partition() != reading.partition {
        let message = format!("{principal} is of another partition than the cluster ({})", reading.partition);
        return refuse(principal.to_string(), "other_partition", message);
    }
    with_iam_path(&principal, context)
        .map_err(|message| (principal.to_string(), finding(Severity::Error, "principal_missing", message)))
}

/// Returns a principal with the path that IAM knows. Errors if IAM has no such principal, or one with another path.
pub(super) fn with_iam_path(principal: &Principal, context: &PlanContext) -> Result<Principal, String> {
    match context.iam.get(&principal.without_path().to_string()) {
        Some(Some(known)) if principal.path() == "/" || known.path() == principal.path() => Ok(known.clone()),
        Some(Some(known)) => Err(format!("IAM has no {principal}; it has {known}")),
        Some(None) => Err(format!("IAM has no {} {}", principal.kind().as_str(), principal)),
        None => Ok(principal.clone()),
    }
}

/// Returns the policies of a request with their scope. They may be names or ARNs.
pub(super) fn policies(
    given: &[String],
    namespaces: &[String],
    context: &PlanContext,
) -> Result<Vec<AccessPolicyScope>, PlanError> {
    let invalid = |reason: String| PlanError::InvalidRequest { reason };
    if given.is_empty() && !namespaces.is_empty() {
        return Err(invalid("a namespace limits an access policy, and the request names no policy".to_owned()));
    }
    if let Some(namespace) = namespaces.iter().find(|namespace| !is_namespace(namespace)) {
        return Err(invalid(format!("{namespace:?} is not the name of a namespace")));
    }
    let mut policies: Vec<AccessPolicyScope> = Vec::new();
    for given in given {
        let name = given.rsplit('/').next().unwrap_or(given);
        let known = context.policies.iter().find(|known| known.eq_ignore_ascii_case(name));
        if known.is_none() && !context.policies.is_empty() {
            let near = similar_names(name, context.policies.iter().map(String::as_str));
            let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(invalid(format!("EKS has no access policy {name:?}{hint}")));
        }
        let policy = known.map_or(name, String::as_str).to_owned();
        if !policies.iter().any(|other| other.policy == policy) {
            let mut namespaces = namespaces.to_vec();
            namespaces.sort();
            namespaces.dedup();
            policies.push(AccessPolicyScope { policy, namespaces });
        }
    }
    Ok(policies)
}

/// A DNS label of at most 63 characters, in which `*` is a wildcard.
fn is_namespace(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*".contains(&b))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns whether an access entry may not have this user name or group.
pub(super) fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    RESERVED.iter().any(|reserved| lower.starts_with(reserved))
}

/// Checks user name and groups: printable texts, and for access entries none that EKS reserves.
pub(super) fn names(username: Option<&str>, groups: &[String], for_entries: bool) -> Result<(), PlanError> {
    let invalid = |reason: String| Err(PlanError::InvalidRequest { reason });
    for name in groups.iter().map(String::as_str).chain(username) {
        if name.trim() != name || name.is_empty() || name.len() > 256 || !name.chars().all(|c| c.is_ascii_graphic()) {
            return invalid(format!(
                "{name:?} is not a user name or group: it needs 1 to 256 visible characters of ASCII"
            ));
        }
        if for_entries && name == "system:masters" {
            let hint = format!("grant the policy {} instead", super::ADMIN_POLICY);
            return invalid(format!("an access entry cannot have the group system:masters; {hint}"));
        }
        if for_entries && is_reserved(name) {
            let reserved = RESERVED.join(", ");
            return invalid(format!(
                "an access entry cannot have {name:?}: EKS reserves names that begin with {reserved}"
            ));
        }
    }
    Ok(())
}

/// Returns groups without repetitions, `old` first.
pub(super) fn union(old: &[String], new: &[String]) -> Vec<String> {
    let mut groups = old.to_vec();
    for group in new {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    groups
}
