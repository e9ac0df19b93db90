//! What is wrong or notable in the ConfigMap.

mod mapping;

use std::collections::HashSet;

use rolecall_protocol::{AccessFinding, Severity, escape_controls, similar_names};

use super::node::{Content, Node};
use super::read::{fold, is_skippable};
use super::yaml;
use super::{AwsAuth, Data, MapKey, Mapping, Problem, ProblemKind, Subject};

/// The keys of a mapping that the authenticator reads, in lower case.
const FIELDS: [&str; 6] = ["rolearn", "userarn", "username", "groups", "userid", "sso"];

/// A finding about the ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The item of the list, if the finding is about one.
    pub index: Option<usize>,
    /// The text, if the finding is about one.
    pub key: Option<MapKey>,
    /// The finding, for the user.
    pub finding: AccessFinding,
}

/// Returns every finding about the data, in the order of the texts and their items. With a `partition`, ARNs of other
/// partitions are reported.
#[must_use]
pub fn lint(data: &Data, partition: Option<&str>) -> Vec<Finding> {
    let read = AwsAuth::read(data);
    let mut findings = Findings(Vec::new());
    for key in data.keys() {
        data_key(&mut findings, key);
    }
    for problem in &read.problems {
        findings.0.push(of_problem(problem, data));
    }
    let last = read.last_mappings();
    let roles = read.roles.iter().filter_map(|role| match &role.subject {
        Subject::Role(arn) => Some(arn.to_ascii_lowercase()),
        _ => None,
    });
    let roles: HashSet<String> = roles.collect();
    for mapping in read.mappings() {
        mapping::arn(&mut findings, mapping, partition);
        mapping::names(&mut findings, mapping);
        mapping::duplicate(&mut findings, &last, &roles, mapping);
    }
    for account in &read.accounts {
        account_id(&mut findings, account.index, account.line, &account.id);
    }
    for key in [MapKey::Roles, MapKey::Users] {
        fields(&mut findings, key, data.get(key.as_str()).map_or("", String::as_str));
    }
    findings.0.sort_by_key(|finding| (finding.key, finding.finding.line, finding.index));
    for AccessFinding { message, hint, .. } in findings.0.iter_mut().map(|found| &mut found.finding) {
        *message = escape_controls(message);
        *hint = hint.as_deref().map(escape_controls);
    }
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, place: Place, severity: Severity, code: &str, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let key = place.key.map(|key| key.as_str().to_owned());
        let finding = AccessFinding { severity, code: code.to_owned(), message, hint, key, line: place.line };
        self.0.push(Finding { index: place.index, key: place.key, finding });
    }
}

/// Where a finding is.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: Option<MapKey>,
    index: Option<usize>,
    line: Option<usize>,
}

impl From<&Mapping> for Place {
    fn from(mapping: &Mapping) -> Self {
        Self { key: Some(mapping.key), index: Some(mapping.index), line: Some(mapping.line) }
    }
}

fn data_key(findings: &mut Findings, key: &str) {
    let place = Place { key: None, index: None, line: None };
    let Some(known) = MapKey::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(key)) else {
        let message = format!("the authenticator does not read the key {key:?}");
        return findings.push(place, Severity::Note, "unknown_data_key", message, "");
    };
    if known.as_str() != key {
        let message = format!("the authenticator does not read the key {key:?}, because it must be spelled {known}");
        findings.push(place, Severity::Error, "wrong_data_key", message, &format!("Rename it to {known}."));
    }
}

fn of_problem(problem: &Problem, data: &Data) -> Finding {
    let key = problem.key;
    let (index, code, message, hint) = match &problem.kind {
        ProblemKind::InvalidYaml { message } => {
            let what = if key == MapKey::Accounts { "account" } else { "mapping" };
            let text = format!(
                "{key} is not valid YAML at line {}, column {}: {message}; the authenticator drops every {what} in it",
                problem.line, problem.column
            );
            let text_of_key = data.get(key.as_str()).map_or("", String::as_str);
            let is_indented_by_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
            let hint = if text_of_key.lines().any(is_indented_by_tab) {
                "Indent with spaces, not with tabs."
            } else {
                "Correct this line."
            };
            (None, "invalid_yaml", text, hint)
        }
        ProblemKind::NotAList => {
            let text = format!("{key} is not a list, so the authenticator reads nothing from it");
            (None, "not_a_list", text, "Begin each item with a dash.")
        }
        ProblemKind::NotAMapping { index } => {
            let text = format!("item {} of {key} is not a mapping, so the authenticator drops it", index + 1);
            (Some(*index), "not_a_mapping", text, "")
        }
        ProblemKind::WrongType { index, field, needed } => {
            let text = format!("{field} is not {needed}, so the authenticator ignores it");
            let hint = match *field {
                "groups" => "Write each group on a line of its own that begins with a dash.",
                _ => "Put the value in quotes.",
            };
            (Some(*index), "wrong_type", text, hint)
        }
        ProblemKind::Dropped { index, reason } => {
            (Some(*index), "dropped", format!("the authenticator drops item {} of {key}: {reason}", index + 1), "")
        }
    };
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    let (severity, line) = (Severity::Error, Some(problem.line));
    let key_name = Some(key.as_str().to_owned());
    let finding = AccessFinding { severity, code: code.to_owned(), message, hint, key: key_name, line };
    Finding { index, key: Some(key), finding }
}

fn account_id(findings: &mut Findings, index: usize, line: usize, id: &str) {
    let place = Place { key: Some(MapKey::Accounts), index: Some(index), line: Some(line) };
    let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    if is_number && id.len() == 12 {
        let message = format!("every IAM user and role of account {id} may enter, without groups");
        return findings.push(place, Severity::Note, "whole_account", message, "");
    }
    let message = format!("{id:?} is not an account id of twelve digits, so it never matches");
    let hint = if is_number && id.len() < 12 {
        format!("If it lost its leading zeros, write \"{id:0>12}\", in quotes.")
    } else {
        String::new()
    };
    findings.push(place, Severity::Error, "invalid_account", message, &hint);
}

/// Keys of mappings that the authenticator ignores, and keys that stand twice.
fn fields(findings: &mut Findings, key: MapKey, text: &str) {
    if is_skippable(text) {
        return;
    }
    let Ok(Some(Node { content: Content::List { items, .. }, .. })) = yaml::parse(text) else { return };
    for (index, item) in items.iter().enumerate() {
        let Content::Map { entries, .. } = &item.content else { continue };
        let mut seen: Vec<String> = Vec::new();
        for (name, _) in entries {
            let Content::Scalar { text: name_text, .. } = &name.content else { continue };
            let place = Place { key: Some(key), index: Some(index), line: Some(name.at.line) };
            let folded = fold(name_text);
            if seen.contains(&folded) {
                let message = format!("the mapping has the key {name_text} twice");
                findings.push(place, Severity::Warning, "duplicate_key", message, "Remove one of the two.");
            }
            unknown_field(findings, place, key, name_text, &folded);
            seen.push(folded);
        }
    }
}

fn unknown_field(findings: &mut Findings, place: Place, key: MapKey, name: &str, folded: &str) {
    let other = match (key, folded) {
        (MapKey::Users, "rolearn" | "sso") => Some(MapKey::Roles),
        (MapKey::Roles, "userarn") => Some(MapKey::Users),
        _ => None,
    };
    if let Some(other) = other {
        let message = format!("{name} belongs into {other}; in {key} the authenticator ignores it");
        return findings.push(place, Severity::Error, "wrong_list", message, &format!("Move the mapping to {other}."));
    }
    if FIELDS.contains(&folded) || folded == "<<" {
        return;
    }
    let near = similar_names(&folded.replace(['_', '-'], ""), FIELDS);
    let (severity, hint) = match near.first() {
        Some(near) => (Severity::Error, format!("Did you mean {near}?")),
        None => (Severity::Warning, String::new()),
    };
    findings.push(place, severity, "unknown_key", format!("the authenticator ignores the key {name}"), &hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/";

    /// The codes of the findings about one text, with their lines.
    fn codes(key: MapKey, text: &str) -> Vec<(String, Option<usize>)> {
        let data = Data::from([(key.as_str().to_owned(), text.to_owned())]);
        lint(&data, Some("aws")).into_iter().map(|found| (found.finding.code, found.finding.line)).collect()
    }

    #[track_caller]
    fn assert_roles(items: &str, expected: &[&str]) {
        let found: Vec<String> = codes(MapKey::Roles, items).into_iter().map(|(code, _)| code).collect();
        assert_eq!(found, expected, "{items}");
    }

    #[test]
    fn lint_valid_mappings_have_no_findings() {
        assert_roles(&format!("- roleArn: {ROLE}a\n  username: a:{{{{SessionName}}}}\n  groups: [a]\n"), &[]);
        assert!(
            codes(MapKey::Users, "- userarn: arn:aws:iam::111122223333:user/eng/jo\n  username: jo\n  groups: [a]")
                .is_empty()
        );
    }

    #[test]
    fn lint_arn_that_never_matches_is_an_error() {
        let item = |arn: &str| format!("- rolearn: {arn}\n  username: a\n  groups: [a]\n");
        assert_roles(&item(&format!("{ROLE}team/a")), &["path_in_arn"]);
        assert_roles(&item("arn:aws:sts::111122223333:assumed-role/a/s"), &["session_arn"]);
        assert_roles(&item("arn:aws-cn:iam::111122223333:role/a"), &["other_partition"]);
        assert_roles(&item("arn:aws:iam::1111222233:role/a"), &["invalid_arn"]);
        assert_roles(&item("arn:aws:iam::111122223333:user/a"), &["wrong_list"]);
        assert_roles(
            "- sso: {permissionSetName: A, accountID: \"111122223333\", partition: aws}\n  username: a\n  groups: [a]\n",
            &["sso_partition"],
        );
    }

    #[test]
    fn lint_keys_and_groups_are_checked() {
        assert_roles(&format!("- role_arn: {ROLE}a\n  username: a\n  groups: [a]\n"), &["dropped", "unknown_key"]);
        assert_roles("- userarn: a\n  username: a\n", &["dropped", "wrong_list"]);
        assert_roles(
            &format!("- rolearn: {ROLE}a\n  username: a\n  groups: system:masters\n"),
            &["no_groups", "wrong_type"],
        );
        assert_roles(
            &format!("- rolearn: {ROLE}a\n  username: a\n  groups:\n  - a\n   - b\n"),
            &["misindented_groups"],
        );
        assert_roles(
            &format!("- rolearn: {ROLE}a\n  rolearn: {ROLE}a\n  groups: [a]\n"),
            &["no_username", "duplicate_key"],
        );
        assert_roles(
            &format!("- rolearn: {ROLE}a\n  username: \"{{{{sessionName}}}}\"\n  groups: [a]\n"),
            &["unknown_placeholder"],
        );
        assert_roles(
            &format!(
                "- rolearn: {ROLE}a\n  username: a\n  groups: [a]\n- rolearn: {ROLE}A\n  username: a\n  groups: [a]\n"
            ),
            &["duplicate"],
        );
    }

    #[test]
    fn lint_invalid_yaml_has_its_place_and_the_loss() {
        let data = Data::from([("mapRoles".to_owned(), format!("- rolearn: {ROLE}a\n\tusername: a\n"))]);
        let found = lint(&data, None).remove(0).finding;
        assert_eq!((found.code.as_str(), found.line, found.severity), ("invalid_yaml", Some(1), Severity::Error));
        assert!(found.message.contains("drops every mapping"), "{}", found.message);
        assert_eq!(found.hint.as_deref(), Some("Indent with spaces, not with tabs."));
    }

    #[test]
    fn lint_accounts_and_data_keys_are_checked() {
        let accounts = codes(MapKey::Accounts, "- 111122223333\n- 12345678901\n- a\n");
        let accounts: Vec<&str> = accounts.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(accounts, ["whole_account", "invalid_account", "invalid_account"]);
        let data = Data::from([("maproles".to_owned(), String::new()), ("mapTeams".to_owned(), String::new())]);
        let found: Vec<String> = lint(&data, None).into_iter().map(|found| found.finding.code).collect();
        assert_eq!(found, ["unknown_data_key", "wrong_data_key"]);
        let users = codes(
            MapKey::Users,
            "- userarn: arn:aws:iam::111122223333:user/jo\n  username: jo\n  groups: [system:masters]\n",
        );
        assert_eq!(users, [("masters_by_user".to_owned(), Some(1))]);
    }
}
