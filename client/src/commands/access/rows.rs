//! The table of the principals that a cluster knows.

use owo_colors::Style;
use rolecall_protocol::{
    AccessPolicyScope, AccessRow, AccessSource, AuthenticationMode, PrincipalKind, Severity, escape_controls,
    sanitize_for_terminal,
};

use super::account::{Account, short_arn};
use crate::terminal::style::Screen;
use crate::terminal::table::{Cell, Column, Row, render};

/// The type of an access entry that needs no mention.
const STANDARD: &str = "STANDARD";
/// The placeholder in the names that EKS gives to users of roles.
const SESSION_NAME: &str = "{{SessionName}}";

/// Renders the rows. A row that the cluster does not use has a mark, and the reason below it.
pub(super) fn table(
    rows: &[AccessRow],
    mode: Option<AuthenticationMode>,
    account: Option<&Account>,
    screen: Screen,
) -> String {
    let columns = [
        Column::fixed(""),
        Column::fixed("PRINCIPAL"),
        Column::optional("TYPE", 5),
        Column::optional("FROM", 2),
        Column::optional("KUBERNETES USER", 4).short_at(7),
        Column::optional("GROUPS", 3),
        Column::optional("POLICIES", 1).short_at(6),
        Column::optional("SCOPE", 6),
    ];
    let account = account.filter(|_| !screen.is_wide);
    let rows: Vec<Row> = rows.iter().flat_map(|row| table_rows(row, mode, account, screen)).collect();
    render(&columns, &rows, screen)
}

/// The lines of one row: one for each policy.
fn table_rows(
    row: &AccessRow,
    mode: Option<AuthenticationMode>,
    account: Option<&Account>,
    screen: Screen,
) -> Vec<Row> {
    let username = row.username.as_deref().map_or_else(|| "-".to_owned(), |name| short_arn(name, account));
    let short = username.replace(SESSION_NAME, "…");
    let mut policies = row.policies.iter();
    let (policy, scope) = policies.next().map_or_else(|| ("-".into(), "-".to_owned()), policy_cells);
    let mut first = Row::from(vec![
        if row.applies {
            Cell::from("")
        } else {
            Cell::styled(if screen.unicode { "✗" } else { "x" }, Style::new().red())
        },
        short_arn(&row.principal, account).into(),
        type_text(row).into(),
        source_text(row.source).into(),
        Cell::from(username).shortened(short),
        groups_text(&row.groups).into(),
        policy,
        scope.into(),
    ]);
    let mut more: Vec<Row> = policies
        .map(|next| {
            let (policy, scope) = policy_cells(next);
            let mut cells: Vec<Cell> = vec!["".into(); 6];
            cells.extend([policy, scope.into()]);
            Row::from(cells)
        })
        .collect();
    if !row.applies {
        let reason = format!("({})", reason(row, mode));
        let last = more.last_mut().unwrap_or(&mut first);
        last.detail_lines = screen.paragraph("  ", &reason, "");
    }
    std::iter::once(first).chain(more).collect()
}

fn policy_cells(scope: &AccessPolicyScope) -> (Cell, String) {
    let name = escape_controls(&scope.policy);
    let short = short_policy(&name).to_owned();
    (Cell::from(name).shortened(short), scope_text(&scope.namespaces))
}

/// The name of a policy without what all names have.
fn short_policy(name: &str) -> &str {
    let short = name.strip_prefix("AmazonEKS").and_then(|rest| rest.strip_suffix("Policy"));
    short.filter(|short| !short.is_empty()).unwrap_or(name)
}

/// Where a policy applies.
pub(super) fn scope_text(namespaces: &[String]) -> String {
    if namespaces.is_empty() {
        return "cluster".to_owned();
    }
    format!("namespaces: {}", escape_controls(&namespaces.join(", ")))
}

fn groups_text(groups: &[String]) -> String {
    if groups.is_empty() { "-".to_owned() } else { escape_controls(&groups.join(", ")) }
}

/// What the principal is, and the type of its access entry if that is a special one.
pub(super) fn type_text(row: &AccessRow) -> String {
    let kind = match row.kind {
        PrincipalKind::Role => "role",
        PrincipalKind::User => "user",
        PrincipalKind::Account => "account",
        PrincipalKind::PermissionSet => "permission set",
        _ => "other",
    };
    match row.entry_type.as_deref() {
        Some(entry) if entry != STANDARD => format!("{kind}, {}", escape_controls(entry)),
        _ => kind.to_owned(),
    }
}

/// Where a row comes from.
pub(super) const fn source_text(source: AccessSource) -> &'static str {
    match source {
        AccessSource::AccessEntry => "access entry",
        AccessSource::AwsAuth => "aws-auth",
        _ => "unknown",
    }
}

/// Why no principal matches a row, or another row does, by the code of its finding.
const REASONS: [(&str, &str); 9] = [
    ("path_in_arn", "path in ARN: never matches"),
    ("session_arn", "ARN of a session: never matches"),
    ("invalid_arn", "no ARN of a role or user: never matches"),
    ("other_partition", "other partition: never matches"),
    ("sso_partition", "other partition: never matches"),
    ("invalid_account", "no account id: never matches"),
    ("principal_missing", "IAM has no such principal"),
    ("overridden", "an access entry overrides it"),
    ("duplicate", "a later mapping replaces it"),
];

/// Why the cluster does not use a row.
fn reason(row: &AccessRow, mode: Option<AuthenticationMode>) -> String {
    let found = |code: &str| row.findings.iter().any(|finding| finding.code == code);
    if let Some((_, reason)) = REASONS.iter().find(|(code, _)| found(code)) {
        return (*reason).to_owned();
    }
    if let Some(error) = row.findings.iter().find(|finding| finding.severity == Severity::Error) {
        return sanitize_for_terminal(&error.message);
    }
    let reason = match (row.source, mode) {
        (AccessSource::AwsAuth, Some(AuthenticationMode::Api)) => "the authentication mode API does not use aws-auth",
        (AccessSource::AccessEntry, Some(AuthenticationMode::ConfigMap)) => {
            "the authentication mode CONFIG_MAP does not use access entries"
        }
        _ => "the cluster does not use it",
    };
    reason.to_owned()
}

/// Where a cluster takes its users from, as a sentence.
pub(super) fn mode_text(cluster: &str, mode: Option<AuthenticationMode>) -> String {
    let cluster = sanitize_for_terminal(cluster);
    match mode {
        Some(AuthenticationMode::ConfigMap) => format!("cluster {cluster} uses aws-auth alone (CONFIG_MAP)"),
        Some(AuthenticationMode::ApiAndConfigMap) => format!(
            "cluster {cluster} uses access entries, and aws-auth for principals without one (API_AND_CONFIG_MAP)"
        ),
        Some(AuthenticationMode::Api) => format!("cluster {cluster} uses access entries alone (API)"),
        _ => format!("the authentication mode of cluster {cluster} is not known"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn account() -> Account {
        Account { partition: "aws".to_owned(), id: "111122223333".to_owned() }
    }

    pub(crate) fn screen(width: Option<usize>) -> Screen {
        Screen { unicode: true, width, is_wide: false }
    }

    /// Asserts that every line fits, except for one that is a single word.
    #[track_caller]
    pub(crate) fn assert_fits(text: &str, width: usize) {
        for line in text.lines() {
            let is_one_word = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= width || is_one_word, "{width}: {line:?} in\n{text}");
        }
    }

    /// A row of each kind: two policies, a role with a path in aws-auth, an account, a node role.
    pub(crate) fn rows() -> Vec<AccessRow> {
        serde_json::from_value(serde_json::json!([
            {"principal": "arn:aws:iam::111122223333:role/developers", "kind": "role", "source": "access_entry",
             "entry_type": "STANDARD", "username": "arn:aws:sts::111122223333:assumed-role/developers/{{SessionName}}",
             "groups": ["dev"], "applies": true, "policies": [
                {"policy": "AmazonEKSEditPolicy", "namespaces": ["web", "api"]}, {"policy": "AmazonEKSViewPolicy"}]},
            {"principal": "arn:aws:iam::111122223333:role/nodes", "kind": "role", "source": "access_entry",
             "entry_type": "EC2_LINUX", "username": "system:node:{{EC2PrivateDNSName}}",
             "groups": ["system:nodes"], "applies": true},
            {"principal": "arn:aws:iam::111122223333:role/platform/admin", "kind": "role", "source": "aws_auth",
             "username": "admin", "groups": ["system:masters"], "applies": false, "findings": [
                {"severity": "error", "code": "path_in_arn", "message": "the ARN has a path", "hint": "Remove /platform",
                 "key": "mapRoles", "line": 4}]},
            {"principal": "999988887777", "kind": "account", "source": "aws_auth", "applies": true}
        ]))
        .unwrap()
    }

    fn shown(screen: Screen) -> String {
        let text = table(&rows(), Some(AuthenticationMode::ApiAndConfigMap), Some(&account()), screen);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn table_at_200_columns_is_whole() {
        assert_eq!(
            shown(screen(Some(200))),
            "  PRINCIPAL            TYPE             FROM          KUBERNETES USER                          GROUPS          POLICIES             SCOPE
  role/developers      role             access entry  assumed-role/developers/{{SessionName}}  dev             AmazonEKSEditPolicy  namespaces: web, api
                                                                                                               AmazonEKSViewPolicy  cluster
  role/nodes           role, EC2_LINUX  access entry  system:node:{{EC2PrivateDNSName}}        system:nodes    -                    -
✗ role/platform/admin  role             aws-auth      admin                                    system:masters  -                    -
  (path in ARN: never matches)
  999988887777         account          aws-auth      -                                        -               -                    -
"
        );
    }

    #[test]
    fn table_narrow_keeps_marks_and_reasons() {
        for width in [40, 80] {
            let text = shown(screen(Some(width)));
            assert_fits(&text, width);
            assert!(
                text.contains("\n✗ role/platform/admin") && text.contains("\n  (path in ARN: never matches)\n"),
                "{text}"
            );
            assert!(text.contains("hidden: ") && text.contains("role/developers"), "{text}");
            assert_eq!(text.contains("access entry"), width == 80, "{text}");
        }
    }

    #[test]
    fn table_wide_has_whole_arns() {
        let text = shown(screen(Some(40)).widened(true));
        assert!(text.contains("arn:aws:iam::111122223333:role/developers") && text.contains("SCOPE"), "{text}");
    }

    #[test]
    fn table_marks_have_colour() {
        let text = table(&rows(), None, None, Screen { unicode: false, width: None, is_wide: false });
        assert!(text.contains("\u{1b}[31mx\u{1b}"), "{text:?}");
    }

    #[test]
    fn reason_without_finding_is_the_mode() {
        let mut row = rows().remove(3);
        assert!(reason(&row, Some(AuthenticationMode::Api)).contains("API does not use aws-auth"));
        assert_eq!(reason(&row, None), "the cluster does not use it");
        row.findings = serde_json::from_value(serde_json::json!([
            {"severity": "error", "code": "of_the_future", "message": "not seen yet"}]))
        .unwrap();
        assert_eq!(reason(&row, Some(AuthenticationMode::Api)), "not seen yet");
        row.findings[0].code = "overridden".to_owned();
        assert_eq!(reason(&row, None), "an access entry overrides it");
        row.findings.clear();
        row.source = AccessSource::AccessEntry;
        assert!(reason(&row, Some(AuthenticationMode::ConfigMap)).contains("does not use access entries"));
    }

    #[test]
    fn short_policy_keeps_other_names() {
        assert_eq!(short_policy("AmazonEKSClusterAdminPolicy"), "ClusterAdmin");
        for other in ["AmazonEKSPolicy", "Mine", "AmazonEKSView"] {
            assert_eq!(short_policy(other), other);
        }
    }
}
