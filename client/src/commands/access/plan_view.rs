//! The plan of a change: principals with the same change together, the difference of aws-auth, and what the user has to
//! know.

use std::fmt::Write as _;

use owo_colors::OwoColorize;
use rolecall_protocol::{AccessAction, AccessChange, AccessPlan, AccessRow, Severity, escape_controls};

use super::account::{Account, short_arn};
use super::principals::Principals;
use super::{findings, rows};
use crate::terminal::style::Screen;

/// How many principals that keep their access are named.
const MAX_KEPT_SHOWN: usize = 20;
/// The code of the finding that a principal to revoke has no access. The heading of its group says so.
const NO_ACCESS: &str = "no_access";

/// The principals with the same change.
struct Group<'a> {
    action: AccessAction,
    heading: String,
    changes: Vec<&'a AccessChange>,
}

/// Renders the plan.
pub(super) fn render(plan: &AccessPlan, account: Option<&Account>, given: &Principals, screen: Screen) -> String {
    let account = account.filter(|_| !screen.is_wide);
    let mut lines = vec![format!("Plan for cluster {}:", escape_controls(&plan.cluster))];
    for group in groups(&plan.changes, account) {
        lines.extend(group_lines(&group, account, given, screen));
    }
    lines.extend(plan.diff.iter().flat_map(|diff| diff_lines(diff)));
    lines.extend(plan.notes.iter().flat_map(|note| findings::paragraph(note, None, screen)));
    lines.extend(screen.paragraph("", &summary(plan), ""));
    lines.join("\n") + "\n"
}

/// Groups the changes by what they do, in the order of the plan; refused ones last.
fn groups<'a>(changes: &'a [AccessChange], account: Option<&Account>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for change in changes {
        let heading = heading(change, account);
        match groups.iter_mut().find(|group| group.action == change.action && group.heading == heading) {
            Some(group) => group.changes.push(change),
            None => groups.push(Group { action: change.action, heading, changes: vec![change] }),
        }
    }
    groups.sort_by_key(|group| match group.action {
        AccessAction::Keep => 1,
        AccessAction::Refuse => 2,
        _ => 0,
    });
    groups
}

/// What happens to each principal of a group.
fn heading(change: &AccessChange, account: Option<&Account>) -> String {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    let text = |row: Option<&AccessRow>| {
        row.map(|row| format!(" ({}: {})", rows::source_text(row.source), access_text(row))).unwrap_or_default()
    };
    match change.action {
        AccessAction::Create => format!("gets access{}", text(after)),
        AccessAction::Update => match (before, after) {
            (Some(before), Some(after)) => {
                format!("changes ({}: {})", rows::source_text(after.source), difference(before, after, account))
            }
            _ => format!("changes{}", text(after)),
        },
        AccessAction::Delete => format!("loses access{}", text(before)),
        AccessAction::Keep if before.is_none() => "has no such access".to_owned(),
        AccessAction::Keep => "stays as it is".to_owned(),
        AccessAction::Refuse => "refused".to_owned(),
        AccessAction::SetMode if change.findings.is_empty() => "the authentication mode changes".to_owned(),
        AccessAction::SetMode => findings_text(change),
        AccessAction::WriteAwsAuth => format!("{} is written", escape_controls(&change.target)),
        _ => "is changed in a way that this version of rolecall does not know".to_owned(),
    }
}

fn group_lines(group: &Group<'_>, account: Option<&Account>, given: &Principals, screen: Screen) -> Vec<String> {
    let mark = match group.action {
        AccessAction::Create => "+".green().to_string(),
        AccessAction::Delete => "-".red().to_string(),
        AccessAction::Keep => "=".dimmed().to_string(),
        AccessAction::Refuse => screen.cross(),
        _ => "~".yellow().to_string(),
    };
    let mut lines = screen.paragraph(&format!("{mark} "), &group.heading, "");
    if group.action == AccessAction::Keep && group.changes.len() > MAX_KEPT_SHOWN {
        lines.push(format!("    {}", super::counted(group.changes.len(), "principal")));
        return lines;
    }
    // The heading says it all.
    let has_targets = !matches!(group.action, AccessAction::SetMode | AccessAction::WriteAwsAuth);
    for change in group.changes.iter().filter(|_| has_targets) {
        let place = given.place(&change.target).map(|place| format!(" ({})", escape_controls(place)));
        let name = short_arn(&change.target, account) + &place.unwrap_or_default();
        let inner = screen.indented(4);
        let findings: Vec<_> = change.findings.iter().filter(|finding| finding.code != NO_ACCESS).collect();
        let shown = if findings.is_empty() {
            inner.paragraph("", &name, "")
        } else {
            let texts = findings.into_iter().map(|finding| findings::text(finding, Some(&name)));
            texts.flat_map(|text| inner.paragraph("", &text, "")).collect()
        };
        lines.extend(shown.into_iter().map(|line| format!("    {line}")));
    }
    lines
}

/// What a row gives to its principal.
fn access_text(row: &AccessRow) -> String {
    let mut parts = Vec::new();
    let special = rows::type_text(row);
    parts.extend(special.split_once(", ").map(|(_, entry)| format!("type {entry}")));
    // The names that EKS gives are ARNs, and each principal has its own.
    let username = row.username.as_deref().filter(|name| !name.starts_with("arn:"));
    parts.extend(username.map(|name| format!("user {}", escape_controls(name))));
    if !row.groups.is_empty() {
        parts.push(format!("groups {}", escape_controls(&row.groups.join(", "))));
    }
    parts.extend(policies(row));
    if parts.is_empty() { "no groups, no policies".to_owned() } else { parts.join("; ") }
}

fn policies(row: &AccessRow) -> Vec<String> {
    let text = |scope: &rolecall_protocol::AccessPolicyScope| {
        format!("{} ({})", escape_controls(&scope.policy), rows::scope_text(&scope.namespaces))
    };
    row.policies.iter().map(text).collect()
}

/// What differs between two rows of a principal.
fn difference(before: &AccessRow, after: &AccessRow, account: Option<&Account>) -> String {
    let mut parts = Vec::new();
    if before.source != after.source {
        parts.push(format!("before by {}", rows::source_text(before.source)));
    }
    if before.username != after.username {
        let name =
            |row: &AccessRow| row.username.as_deref().map_or_else(|| "-".to_owned(), |name| short_arn(name, account));
        parts.push(format!("user {} becomes {}", name(before), name(after)));
    }
    let groups = |row: &AccessRow| -> Vec<String> {
        row.groups.iter().map(|group| format!("group {}", escape_controls(group))).collect()
    };
    parts.extend(added_and_removed(&groups(before), &groups(after)));
    parts.extend(added_and_removed(&policies(before), &policies(after)));
    if parts.is_empty() { access_text(after) } else { parts.join("; ") }
}

fn added_and_removed(before: &[String], after: &[String]) -> Vec<String> {
    let removed = before.iter().filter(|old| !after.contains(old)).map(|old| format!("-{old}"));
    let added = after.iter().filter(|new| !before.contains(new)).map(|new| format!("+{new}"));
    removed.chain(added).collect()
}

/// The unified diff in colours. Its lines are not wrapped.
fn diff_lines(diff: &str) -> Vec<String> {
    let line = |line: &str| {
        let text = escape_controls(line);
        match line.as_bytes().first() {
            Some(b'+') => text.green().to_string(),
            Some(b'-') => text.red().to_string(),
            Some(b'@') => text.cyan().to_string(),
            _ => text,
        }
    };
    diff.lines().map(line).collect()
}

/// How many principals change, stay and are refused.
pub(super) fn summary(plan: &AccessPlan) -> String {
    let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
    let (kept, refused) = (count(AccessAction::Keep), count(AccessAction::Refuse));
    let mut text = match plan.effective() {
        0 => "Nothing to change".to_owned(),
        changes => super::counted(changes, "change"),
    };
    // Writing to a String cannot fail.
    if kept > 0 {
        let _ = write!(text, ", {kept} unchanged");
    }
    if refused > 0 {
        let _ = write!(text, ", {refused} refused");
    }
    text + "."
}

/// The findings of a change as one text: why it is refused, or what it does.
pub(super) fn findings_text(change: &AccessChange) -> String {
    let mut findings: Vec<_> = change.findings.iter().collect();
    findings.sort_by_key(|finding| finding.severity == Severity::Note);
    let texts: Vec<String> = findings.into_iter().map(|finding| findings::text(finding, None)).collect();
    if texts.is_empty() { "refused".to_owned() } else { texts.join(". ") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::access::rows::tests::{account, assert_fits, screen};

    const IAM: &str = "arn:aws:iam::111122223333";

    fn row(kind: &str, name: &str, groups: &[&str], policies: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({"principal": format!("{IAM}:{kind}/{name}"), "kind": kind, "source": "access_entry",
            "entry_type": "STANDARD", "groups": groups, "policies": policies, "applies": true,
            "username": format!("{IAM}:{kind}/{name}")})
    }

    /// A plan of every kind of change.
    pub(crate) fn plan() -> AccessPlan {
        let view = serde_json::json!([{"policy": "AmazonEKSViewPolicy", "namespaces": ["web"]}]);
        let edit = serde_json::json!([{"policy": "AmazonEKSEditPolicy"}]);
        let refused = serde_json::json!([{"severity": "error", "code": "no_such_user",
            "message": "IAM has no user typo", "hint": "Did you mean tyler?"}]);
        serde_json::from_value(serde_json::json!({"id": "3f2a", "cluster": "prod", "changes": [
            {"target": format!("{IAM}:user/alice"), "action": "create", "after": row("user", "alice", &[], &view)},
            {"target": format!("{IAM}:user/typo"), "action": "refuse", "findings": refused},
            {"target": format!("{IAM}:user/bob"), "action": "create", "after": row("user", "bob", &[], &view)},
            {"target": format!("{IAM}:role/dev"), "action": "update", "before": row("role", "dev", &["dev"], &edit),
             "after": row("role", "dev", &["dev", "ops"], &view)},
            {"target": format!("{IAM}:role/old"), "action": "delete", "before": row("role", "old", &["dev"], &edit)},
            {"target": format!("{IAM}:user/carol"), "action": "keep", "before": row("user", "carol", &["dev"], &edit)},
            {"target": format!("{IAM}:user/dave"), "action": "keep", "findings": [
                {"severity": "note", "code": "no_access", "message": "user/dave has no access"}]},
            {"target": "kube-system/aws-auth", "action": "write_aws_auth"},
            {"target": "prod", "action": "set_mode", "findings": [
                {"severity": "warning", "code": "mode_one_way", "message": "the authentication mode becomes API"}]}],
            "diff": "--- aws-auth\n+++ aws-auth\n@@ -1,2 +1,1 @@\n   groups: [dev]\n-  - x\u{1b}[2J\n+  - y\n",
            "notes": [{"severity": "warning", "code": "one_way", "message": "this cannot be undone"}]}))
        .unwrap()
    }

    pub(crate) fn shown(width: Option<usize>) -> String {
        anstream::adapter::strip_str(&render(&plan(), Some(&account()), &Principals::default(), screen(width)))
            .to_string()
    }

    #[test]
    fn render_groups_the_same_changes() {
        assert_eq!(
            shown(None),
            "\
Plan for cluster prod:
+ gets access (access entry: AmazonEKSViewPolicy (namespaces: web))
    user/alice
    user/bob
~ changes (access entry: +group ops; -AmazonEKSEditPolicy (cluster); +AmazonEKSViewPolicy (namespaces: web))
    role/dev
- loses access (access entry: groups dev; AmazonEKSEditPolicy (cluster))
    role/old
~ kube-system/aws-auth is written
~ the authentication mode becomes API
= stays as it is
    user/carol
= has no such access
    user/dave
✗ refused
    user/typo: IAM has no user typo. Did you mean tyler?
--- aws-auth
+++ aws-auth
@@ -1,2 +1,1 @@
   groups: [dev]
-  - x\\u{1b}[2J
+  - y
! this cannot be undone
6 changes, 2 unchanged, 1 refused.
"
        );
    }

    #[test]
    fn render_fits_and_colours_the_diff() {
        for width in [40, 80, 200] {
            assert_fits(&shown(Some(width)), width);
        }
        let coloured = render(&plan(), None, &Principals::default(), screen(None));
        for part in ["\u{1b}[32m+  - y", "\u{1b}[31m-  - x\\u{1b}[2J", "\u{1b}[36m@@ -1,2", "\u{1b}[32m+\u{1b}"] {
            assert!(coloured.contains(part), "{part:?} in {coloured:?}");
        }
    }

    #[test]
    fn render_many_kept_are_counted() {
        let mut plan = plan();
        let kept = plan.changes.remove(5);
        plan.changes = vec![kept; 21];
        let text = render(&plan, Some(&account()), &Principals::default(), screen(None));
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("= stays as it is\n    21 principals\n") && !text.contains("carol"), "{text}");
        assert!(text.ends_with("Nothing to change, 21 unchanged.\n"), "{text}");
    }

    #[test]
    fn findings_text_joins_all() {
        assert_eq!(findings_text(&plan().changes[1]), "IAM has no user typo. Did you mean tyler?");
        assert_eq!(findings_text(&plan().changes[0]), "refused");
    }
}
