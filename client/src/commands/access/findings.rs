//! What is wrong or notable in a cluster's access, below a table.

use rolecall_protocol::{AccessFinding, AccessRow, Severity, Unread, join_sentences, sanitize_for_terminal};

use super::account::{Account, short_arn};
use crate::output;
use crate::terminal::style::Screen;

/// A finding and the principal that it is about, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located<'a> {
    pub(super) finding: &'a AccessFinding,
    pub(super) principal: Option<&'a str>,
}

/// The findings of rows, and of the whole. A row that the cluster does not use has its reason in the table, and no notes.
pub(super) fn all<'a>(rows: &'a [AccessRow], whole: &'a [AccessFinding]) -> Vec<Located<'a>> {
    let of_row = |row: &'a AccessRow| {
        let shown = row.findings.iter().filter(|finding| row.applies || finding.severity != Severity::Note);
        shown.map(|finding| Located { finding, principal: Some(row.principal.as_str()) })
    };
    let whole = whole.iter().map(|finding| Located { finding, principal: None });
    rows.iter().flat_map(of_row).chain(whole).collect()
}

/// The number of findings that say that something does not work.
pub(super) fn errors(found: &[Located<'_>]) -> usize {
    found.iter().filter(|located| located.finding.severity == Severity::Error).count()
}

/// The findings, each as a paragraph with a mark: what does not work first.
pub(super) fn render(found: &[Located<'_>], account: Option<&Account>, screen: Screen) -> String {
    let mut found = found.to_vec();
    found.sort_by_key(|located| rank(located.finding.severity));
    let lines = found.iter().flat_map(|located| {
        let principal = located.principal.map(|principal| short_arn(principal, account));
        paragraph(located.finding, principal.as_deref(), screen)
    });
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// A finding as lines: its place in aws-auth, what it is about, the message and the hint.
pub(super) fn paragraph(finding: &AccessFinding, about: Option<&str>, screen: Screen) -> Vec<String> {
    screen.paragraph(&format!("{} ", mark(finding.severity, screen)), &text(finding, about), "")
}

/// A finding as one line without a mark.
pub(super) fn text(finding: &AccessFinding, about: Option<&str>) -> String {
    let place = match (&finding.key, finding.line) {
        (Some(key), Some(line)) => format!("{} line {line}: ", sanitize_for_terminal(key)),
        (Some(key), None) => format!("{}: ", sanitize_for_terminal(key)),
        (None, _) => String::new(),
    };
    let about = about.map(|about| format!("{about}: ")).unwrap_or_default();
    let message = sanitize_for_terminal(&finding.message);
    let hint = finding.hint.as_deref().map(sanitize_for_terminal);
    format!("{place}{about}{}", join_sentences(&message, hint.as_deref()))
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        _ => 2,
    }
}

fn mark(severity: Severity, screen: Screen) -> String {
    match severity {
        Severity::Error => screen.cross(),
        Severity::Warning => screen.warning(),
        _ => "-".to_owned(),
    }
}

/// Prints what could not be read, as notes.
pub(super) fn print_unread(unread: &[Unread]) {
    for Unread { what, error } in unread {
        output::print_note(&format!("{what} could not be read: {}", error.clone().sanitized()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(value: serde_json::Value) -> AccessFinding {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn render_errors_first_with_place_and_hint() {
        let note = finding(serde_json::json!({"severity": "note", "code": "a", "message": "is the creator"}));
        let odd = finding(serde_json::json!({"severity": "of_the_moon", "code": "b", "message": "later\u{1b}[2J"}));
        let error = finding(serde_json::json!({"severity": "error", "code": "path_in_arn", "hint": "Remove the path",
            "message": "the ARN has a path", "key": "mapRoles", "line": 7}));
        let arn = "arn:aws:iam::111122223333:role/team/x";
        let found = [
            Located { finding: &note, principal: None },
            Located { finding: &odd, principal: None },
            Located { finding: &error, principal: Some(arn) },
        ];
        let account = Account { partition: "aws".to_owned(), id: "111122223333".to_owned() };
        let screen = |width| Screen { unicode: true, width, is_wide: false };
        let shown = |width| anstream::adapter::strip_str(&render(&found, Some(&account), screen(width))).to_string();
        let expected = "✗ mapRoles line 7: role/team/x: the ARN has a path. Remove the path\n\
                        - is the creator\n- later\\u{1b}[2J\n";
        assert_eq!(shown(None), expected);
        assert!(shown(Some(40)).lines().all(|line| line.chars().count() <= 40), "{}", shown(Some(40)));
        assert!(render(&found, None, screen(None)).contains("\u{1b}["), "the mark has a colour");
        assert_eq!(errors(&found), 1);
    }
}
