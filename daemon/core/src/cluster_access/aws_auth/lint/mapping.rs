//! What is wrong or notable in one mapping: its ARN, its names, and another mapping of the same ARN.

use std::collections::HashSet;

use rolecall_protocol::{Severity, similar_names};

use super::{Findings, Place};
use crate::cluster_access::aws_auth::{LastMappings, MapKey, Mapping, Subject};
use crate::cluster_access::principal::{IamKind, Principal, PrincipalError};

/// The placeholders that the authenticator replaces.
const PLACEHOLDERS: [&str; 5] = ["AccountID", "SessionName", "SessionNameRaw", "EC2PrivateDNSName", "AccessKeyID"];

pub(super) fn arn(findings: &mut Findings, mapping: &Mapping, partition: Option<&str>) {
    let place = Place::from(mapping);
    let (arn, expected) = match &mapping.subject {
        Subject::Role(arn) => (arn, IamKind::Role),
        Subject::User(arn) => (arn, IamKind::User),
        Subject::PermissionSet { partition, .. } => {
            if partition.is_empty() {
                let message =
                    "sso needs the feature SSORoleMatch of the authenticator, which is off by default".to_owned();
                findings.push(place, Severity::Warning, "sso", message, "Name the role itself, without its path.");
            } else {
                let message = "a mapping with sso.partition never matches".to_owned();
                findings.push(place, Severity::Error, "sso_partition", message, "Remove partition.");
            }
            return;
        }
    };
    match arn.parse::<Principal>() {
        Ok(principal) => {
            principal_arn(findings, place, &principal, expected);
            if partition.is_some_and(|partition| partition != principal.partition()) {
                let message = format!("{arn} is of another partition than the cluster, so it never matches");
                findings.push(place, Severity::Error, "other_partition", message, "");
            }
        }
        Err(PrincipalError::Root | PrincipalError::FederatedUser) => {}
        Err(PrincipalError::Session { role }) => {
            let message = format!("{arn} is the ARN of a session, so it never matches");
            findings.push(place, Severity::Error, "session_arn", message, &format!("Name the role: {role}"));
        }
        // A service-linked role has a path.
        Err(error) => findings.push(place, Severity::Error, "invalid_arn", format!("{arn:?} {error}"), ""),
    }
}

fn principal_arn(findings: &mut Findings, place: Place, principal: &Principal, expected: IamKind) {
    if principal.canonical() != *principal {
        let message = format!("{principal} has a path, which STS leaves out, so it never matches");
        let hint = format!("Write it without the path: {}", principal.without_path());
        findings.push(place, Severity::Error, "path_in_arn", message, &hint);
    }
    if principal.kind() != expected {
        let (kind, key) = match principal.kind() {
            IamKind::Role => ("role", MapKey::Roles),
            IamKind::User => ("user", MapKey::Users),
        };
        let message = format!("{principal} is a {kind}");
        findings.push(place, Severity::Warning, "wrong_list", message, &format!("Move it to {key}."));
    }
}

/// User name and groups.
pub(super) fn names(findings: &mut Findings, mapping: &Mapping) {
    let place = Place::from(mapping);
    if mapping.username.is_empty() {
        let message = "the mapping has no username".to_owned();
        findings.push(place, Severity::Warning, "no_username", message, "Add username.");
    }
    if mapping.groups.is_empty() {
        let message = "the mapping has no groups, so it allows only what a binding grants to the user name".to_owned();
        findings.push(place, Severity::Note, "no_groups", message, "");
    }
    for group in mapping.groups.iter().filter(|group| group.contains(" - ")) {
        let message = format!("{group:?} is one group, because a dash is indented deeper than the one above it");
        let hint = "Indent each dash of the list alike.";
        findings.push(place, Severity::Error, "misindented_groups", message, hint);
    }
    if mapping.key == MapKey::Users && mapping.is_administrator() {
        let message = "an IAM user is in system:masters, which no RBAC rule can limit".to_owned();
        let hint = "Prefer a role, whose credentials expire.";
        findings.push(place, Severity::Warning, "masters_by_user", message, hint);
    }
    for text in mapping.groups.iter().chain([&mapping.username]) {
        for placeholder in unknown_placeholders(text) {
            let message =
                format!("the authenticator does not know the placeholder {{{{{placeholder}}}}} and keeps it as text");
            let near = similar_names(placeholder, PLACEHOLDERS);
            let hint = near.first().map(|near| format!("Did you mean {{{{{near}}}}}?")).unwrap_or_default();
            findings.push(place, Severity::Error, "unknown_placeholder", message, &hint);
        }
    }
}

fn unknown_placeholders(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inner, _)| inner);
    inner.filter(|inner| !PLACEHOLDERS.contains(inner))
}

pub(super) fn duplicate(findings: &mut Findings, last: &LastMappings<'_>, roles: &HashSet<String>, mapping: &Mapping) {
    let place = Place::from(mapping);
    if let Some(later) = last.replacing(mapping) {
        let message = format!(
            "line {} names {} again, and the authenticator uses the last one",
            later.line,
            mapping.subject_text()
        );
        findings.push(place, Severity::Warning, "duplicate", message, "Remove one of the two.");
    }
    if mapping.key == MapKey::Users
        && let Subject::User(arn) = &mapping.subject
        && roles.contains(&arn.to_ascii_lowercase())
    {
        let message = format!("mapRoles names {arn} too, and the authenticator uses mapRoles");
        findings.push(place, Severity::Warning, "duplicate", message, "Remove one of the two.");
    }
}
