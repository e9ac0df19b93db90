//! The report of a change: what was changed, and every failure.

use std::fmt::Write as _;

use rolecall_protocol::{
    AccessAction, AccessPlan, AccessReport, AccessResult, ErrorBody, ErrorCode, ProfileName, escape_controls,
};
use rolecall_trusted_file::shell_quoted;

use super::account::{Account, short_arn};
use super::principals::Principals;
use super::{findings, plan_view};
use crate::files::path_text::display_path;
use crate::output;
use crate::terminal::style::Screen;

/// How many successful results are named, each on a line.
const MAX_NAMED: usize = 20;

/// Whether a change failed, was refused or was rolled back.
pub(super) fn has_failure(report: &AccessReport) -> bool {
    report.rolled_back.is_some() || report.results.iter().any(is_failure)
}

fn is_failure(result: &AccessResult) -> bool {
    result.error.is_some() || result.action == AccessAction::Refuse
}

/// The report of a plan that changes nothing.
pub(super) fn of_unchanged(plan: &AccessPlan) -> AccessReport {
    let results = plan.changes.iter().map(|change| AccessResult {
        target: change.target.clone(),
        action: change.action,
        error: (change.action == AccessAction::Refuse)
            .then(|| ErrorBody::new(ErrorCode::AccessRefused, plan_view::findings_text(change))),
    });
    AccessReport { results: results.collect(), backup: None, rolled_back: None, notes: Vec::new() }
}

/// Renders the successful results, the backup, the notes and the counts.
pub(super) fn render(
    report: &AccessReport,
    profile: &ProfileName,
    account: Option<&Account>,
    screen: Screen,
) -> String {
    let account = account.filter(|_| !screen.is_wide);
    let done: Vec<&AccessResult> =
        report.results.iter().filter(|result| !is_failure(result) && result.action != AccessAction::Keep).collect();
    let mut lines = Vec::new();
    if done.len() <= MAX_NAMED && report.rolled_back.is_none() {
        let line = |result: &&AccessResult| {
            let text = format!("{} {}", short_arn(&result.target, account), done_text(result.action));
            screen.paragraph(&format!("{} ", screen.tick()), &text, "")
        };
        lines.extend(done.iter().flat_map(line));
    }
    lines.extend(report.notes.iter().flat_map(|note| findings::paragraph(note, None, screen)));
    if let Some(backup) = &report.backup {
        let name = backup.file_name().map(|name| shell_quoted(name.as_ref())).unwrap_or_default();
        let text = format!(
            "saved the former aws-auth as {}; to put it back: rolecall access restore {profile} --backup {name}",
            escape_controls(&display_path(backup))
        );
        lines.extend(screen.paragraph("- ", &text, ""));
    }
    lines.extend(screen.paragraph("", &summary(report, done.len()), ""));
    lines.join("\n") + "\n"
}

/// Prints each failure on standard error.
pub(super) fn print_failures(report: &AccessReport, plan: &AccessPlan, given: &Principals, account: Option<&Account>) {
    for line in failures(report, plan, given, account) {
        output::print_note(&line);
    }
}

fn failures(report: &AccessReport, plan: &AccessPlan, given: &Principals, account: Option<&Account>) -> Vec<String> {
    let of_result = |result: &AccessResult| {
        let place = given.place(&result.target).map(|place| format!(" ({place})")).unwrap_or_default();
        let why = match &result.error {
            Some(error) => error.clone().sanitized().to_string(),
            None => plan
                .changes
                .iter()
                .find(|change| change.target == result.target)
                .map_or_else(|| "refused".to_owned(), plan_view::findings_text),
        };
        format!("{}{place}: {why}", short_arn(&result.target, account))
    };
    let rolled_back = report
        .rolled_back
        .as_ref()
        .map(|error| format!("aws-auth was set back to its former text: {}", error.clone().sanitized()));
    report.results.iter().filter(|result| is_failure(result)).map(of_result).chain(rolled_back).collect()
}

const fn done_text(action: AccessAction) -> &'static str {
    match action {
        AccessAction::Create => "has access",
        AccessAction::Delete => "has no access any more",
        AccessAction::SetMode => "has the new authentication mode",
        AccessAction::WriteAwsAuth => "was written",
        _ => "was changed",
    }
}

fn summary(report: &AccessReport, done: usize) -> String {
    let count = |test: fn(&AccessResult) -> bool| report.results.iter().filter(|result| test(result)).count();
    let refused = count(|result| result.action == AccessAction::Refuse);
    let failed = count(|result| result.error.is_some() && result.action != AccessAction::Refuse);
    let kept = count(|result| result.action == AccessAction::Keep && result.error.is_none());
    let mut text = match (done, &report.rolled_back) {
        (_, Some(_)) => "Changed nothing: the change was rolled back".to_owned(),
        (0, None) => "Changed nothing".to_owned(),
        (done, None) => format!("Made {}", super::counted(done, "change")),
    };
    for (count, what) in [(kept, "unchanged"), (refused, "refused"), (failed, "failed")] {
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {count} {what}");
        }
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::access::plan_view::tests::plan;
    use crate::commands::access::rows::tests::{account, assert_fits, screen};

    fn report(results: serde_json::Value) -> AccessReport {
        let mut report: AccessReport = serde_json::from_value(serde_json::json!({"results": []})).unwrap();
        report.results = serde_json::from_value(results).unwrap();
        report
    }

    fn shown(report: &AccessReport, width: Option<usize>) -> String {
        let text = render(report, &"prod".parse().unwrap(), Some(&account()), screen(width));
        anstream::adapter::strip_str(&text).to_string()
    }

    fn mixed() -> AccessReport {
        let user = |name: &str| format!("arn:aws:iam::111122223333:user/{name}");
        report(serde_json::json!([
            {"target": user("alice"), "action": "create"},
            {"target": user("typo"), "action": "refuse"},
            {"target": user("bob"), "action": "create",
             "error": {"code": "throttled", "message": "EKS throttles", "hint": "Run it again"}},
            {"target": user("carol"), "action": "keep"},
            {"target": user("dan"), "action": "delete"}]))
    }

    #[test]
    fn render_counts_and_explains_every_failure() {
        let mut report = mixed();
        report.backup = Some("/home/dev/.local/state/rolecall/aws-auth/prod 1.yaml".into());
        report.notes = serde_json::from_value(serde_json::json!([
            {"severity": "note", "code": "entered", "message": "a fresh token enters"}]))
        .unwrap();
        assert_eq!(
            shown(&report, None),
            "✓ user/alice has access\n✓ user/dan has no access any more\n- a fresh token enters\n\
             - saved the former aws-auth as /home/dev/.local/state/rolecall/aws-auth/prod 1.yaml; to put it back: \
             rolecall access restore prod --backup 'prod 1.yaml'\n\
             Made 2 changes, 1 unchanged, 1 refused, 1 failed.\n"
        );
        for width in [40, 80] {
            assert_fits(&shown(&report, Some(width)), width);
        }
        assert!(has_failure(&report));
        assert_eq!(
            failures(&report, &plan(), &Principals::default(), Some(&account())),
            ["user/typo: IAM has no user typo. Did you mean tyler?", "user/bob: EKS throttles. Run it again"]
        );
    }

    #[test]
    fn render_many_good_ones_are_counted() {
        let results: Vec<_> =
            (0..21).map(|n| serde_json::json!({"target": format!("u{n}"), "action": "create"})).collect();
        let report = report(serde_json::Value::Array(results));
        assert_eq!(shown(&report, None), "Made 21 changes.\n");
        assert!(!has_failure(&report));
    }

    #[test]
    fn rolled_back_change_is_a_failure() {
        let mut report = report(serde_json::json!([{"target": "x", "action": "delete"}]));
        report.rolled_back = Some(ErrorBody::new(ErrorCode::AccessDenied, "your role no longer enters"));
        assert!(has_failure(&report));
        assert_eq!(shown(&report, None), "Changed nothing: the change was rolled back.\n");
        assert_eq!(
            failures(&report, &plan(), &Principals::default(), None),
            ["aws-auth was set back to its former text: your role no longer enters"]
        );
    }

    #[test]
    fn unchanged_plan_has_a_report() {
        let mut plan = plan();
        plan.changes.retain(|change| !change.action.is_change());
        let report = of_unchanged(&plan);
        assert!(has_failure(&report));
        assert_eq!(shown(&report, None), "Changed nothing, 2 unchanged, 1 refused.\n");
        let error = report.results[0].error.as_ref().unwrap();
        assert_eq!(error.message, "IAM has no user typo. Did you mean tyler?");
    }
}
