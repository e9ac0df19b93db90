//! The text of `rolecall doctor`: one line for each healthy part of a connection, and everything about the others.

use owo_colors::OwoColorize;
use rolecall_protocol::{
    AdministratorRequest, Finding, FindingArea, FindingState, Hint, escape_controls, sanitize_for_terminal,
};

use super::report::{ProfileReport, Report};
use crate::terminal::style::Screen;

/// The parts of a connection, in the order of the checks.
const AREAS: [FindingArea; 6] = [
    FindingArea::Computer,
    FindingArea::Source,
    FindingArea::Role,
    FindingArea::ApiServer,
    FindingArea::Access,
    FindingArea::Unknown,
];
/// The indentation of what belongs to a finding.
const BELOW_FINDING: usize = 2;
/// The indentation of a command that stands alone, so that it can be copied.
const COMMAND: usize = 6;
/// Longer names do not move the column of the causes.
const MAX_NAME_COLUMN: usize = 16;

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) screen: Screen,
    /// Whether every finding is shown, also those that are as they should be.
    pub(super) is_verbose: bool,
}

impl View {
    /// Renders the result of all checks. The worst profiles come first.
    pub(super) fn report(self, report: &Report) -> String {
        let mut lines = Vec::new();
        match report.profiles.as_slice() {
            [only] => {
                let findings: Vec<&Finding> = report.computer_shown.iter().chain(&only.findings).collect();
                let briefs: Vec<&String> = report.computer_briefs.iter().chain(&only.briefs).collect();
                lines.extend(self.connection(&findings, &briefs, report.security_warnings));
            }
            profiles => {
                let findings: Vec<&Finding> = report.computer_shown.iter().collect();
                let briefs: Vec<&String> = report.computer_briefs.iter().collect();
                lines.extend(self.connection(&findings, &briefs, report.security_warnings));
                lines.extend(self.profiles(profiles));
            }
        }
        joined(lines)
    }

    /// Renders every finding, as `--security` does.
    pub(super) fn all(self, findings: &[Finding]) -> String {
        joined(self.rows(findings.iter().map(Row::of_finding).collect()))
    }

    /// The rows of one connection: a row for each healthy part, and a row for each finding of the others.
    fn connection(self, findings: &[&Finding], briefs: &[&String], security_warnings: usize) -> Vec<String> {
        let (mut rows, mut others) = (Vec::new(), Vec::new());
        for area in AREAS {
            let of_area: Vec<&Finding> = findings.iter().filter(|found| found.area == area).copied().collect();
            let is_healthy = of_area.iter().all(|found| found.state == FindingState::Ok);
            match area {
                _ if of_area.is_empty() => {}
                _ if self.is_verbose => rows.extend(of_area.into_iter().map(Row::of_finding)),
                _ if !is_healthy => others.extend(of_area),
                FindingArea::Computer => {
                    let mut parts: Vec<String> = briefs.iter().map(|brief| (*brief).clone()).collect();
                    if security_warnings > 0 {
                        let noun = if security_warnings == 1 { "warning" } else { "warnings" };
                        parts.push(format!("{security_warnings} {noun} of rolecall doctor --security"));
                    }
                    rows.push(Row::ok("computer", &parts));
                }
                _ => {
                    // The token is the first finding about the API server.
                    let first = of_area.first().map_or("", |found| found.name.as_str());
                    let name = if area == FindingArea::ApiServer { "API server" } else { first };
                    rows.push(Row::ok(name, &of_area.iter().map(|found| found.cause.clone()).collect::<Vec<_>>()));
                }
            }
        }
        rows.extend(self.not_ok(&others));
        self.rows(rows)
    }

    /// The findings that are not as they should be, the worst first: it is the cause of the others, or hides them.
    fn not_ok<'a>(self, findings: &[&'a Finding]) -> Vec<Row<'a>> {
        let is_wanted = |found: &&&Finding| self.is_verbose || found.state != FindingState::Ok;
        let mut wanted: Vec<&Finding> = findings.iter().filter(is_wanted).copied().collect();
        if !self.is_verbose {
            wanted.sort_by_key(|found| std::cmp::Reverse(found.state));
        }
        wanted.into_iter().map(Row::of_finding).collect()
    }

    /// Several profiles: the unhealthy ones under headings, and the names of the others.
    fn profiles(self, profiles: &[ProfileReport]) -> Vec<String> {
        let mut lines = Vec::new();
        for one in profiles.iter().filter(|one| one.state >= FindingState::Warning || self.is_verbose) {
            lines.push(String::new());
            lines.push(format!("{}:", sanitize_for_terminal(&one.profile).bold()));
            lines.extend(self.rows(self.not_ok(&one.findings.iter().collect::<Vec<_>>())));
        }
        let named = |state| {
            let names = profiles.iter().filter(|one| one.state == state && !self.is_verbose);
            names.map(|one| sanitize_for_terminal(&one.profile)).collect::<Vec<_>>()
        };
        let (unknown, healthy) = (named(FindingState::NotChecked), named(FindingState::Ok));
        let has_others = !unknown.is_empty() || !healthy.is_empty();
        if has_others && !lines.is_empty() {
            lines.push(String::new());
        }
        if !unknown.is_empty() {
            let text = match unknown.len() {
                1 => "1 profile was not checked completely".to_owned(),
                count => format!("{count} profiles were not checked completely"),
            };
            lines.extend(self.names(&mark(FindingState::NotChecked, self.screen), &text, &unknown));
        }
        if !healthy.is_empty() {
            let text = match healthy.len() {
                1 => "1 profile is healthy".to_owned(),
                count => format!("{count} profiles are healthy"),
            };
            lines.extend(self.names(&self.screen.tick(), &text, &healthy));
        }
        lines
    }

    /// A mark, a text and names: in a paragraph, or one on each line if the output is wide.
    fn names(self, mark: &str, text: &str, names: &[String]) -> Vec<String> {
        if self.screen.is_wide {
            let names = names.iter().map(|name| format!("  {name}"));
            return std::iter::once(format!("{mark} {text}:")).chain(names).collect();
        }
        self.screen.paragraph(&format!("{mark} "), &format!("{text}: {}", names.join(", ")), "")
    }

    fn rows(self, rows: Vec<Row<'_>>) -> Vec<String> {
        let widths = rows.iter().map(|row| row.name.chars().count()).filter(|width| *width <= MAX_NAME_COLUMN);
        let name_width = widths.max().unwrap_or_default();
        let mut shown_fixes: Vec<&Hint> = Vec::new();
        let mut lines = Vec::new();
        for row in rows {
            lines.extend(self.row(&row, name_width));
            let Some(finding) = row.finding else { continue };
            if let Some(consequence) = &finding.consequence {
                lines.extend(self.screen.paragraph("  ", &sanitize_for_terminal(consequence), ""));
            }
            // Two findings may have one fix.
            if let Some(fix) = finding.fix.as_ref().filter(|fix| !shown_fixes.contains(fix)) {
                shown_fixes.push(fix);
                lines.extend(self.fix(fix));
            }
            lines.extend(finding.administrator.iter().flat_map(|request| self.request(request)));
        }
        lines
    }

    /// The line of a row. A text with a word that is too long for its column begins below the name.
    fn row(self, row: &Row<'_>, name_width: usize) -> Vec<String> {
        let name = sanitize_for_terminal(&row.name);
        let text = sanitize_for_terminal(&row.text);
        let name_width = name_width.max(name.chars().count());
        let column = name_width + 4;
        let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or_default();
        let mark = mark(row.state, self.screen);
        if self.screen.width.is_some_and(|limit| column + longest > limit) {
            let mut lines = vec![format!("{mark} {name}")];
            lines.extend(self.screen.wrap(("    ", 4), 4, &text, ""));
            return lines;
        }
        self.screen.wrap((&format!("{mark} {name:name_width$}  "), column), column, &text, "")
    }

    /// What the user does: a command is never wrapped, so that it can be copied.
    fn fix(self, fix: &Hint) -> Vec<String> {
        const LEAD: &str = "  Fix: ";
        let text = escape_controls(fix.as_str());
        let fits = self.screen.width.is_none_or(|limit| LEAD.len() + text.chars().count() <= limit);
        match fix {
            _ if fits => vec![format!("{LEAD}{text}")],
            Hint::Command(_) => vec!["  Fix:".to_owned(), command(&text)],
            Hint::Text(_) => self.screen.wrap((LEAD, LEAD.len()), BELOW_FINDING, &text, ""),
        }
    }

    /// What to ask of an administrator.
    fn request(self, request: &AdministratorRequest) -> Vec<String> {
        let text = format!("Ask {}: {}", sanitize_for_terminal(&request.to), sanitize_for_terminal(&request.request));
        let mut lines = self.screen.paragraph("  ", &text, "");
        if request.commands.len() > 1 {
            lines.extend(self.screen.paragraph("  ", "One of these commands is enough:", ""));
        }
        lines.extend(request.commands.iter().map(|text| command(&escape_controls(text))));
        if let Some(statement) = &request.statement {
            lines.extend(self.screen.paragraph("  ", "The statement to add to the policy:", ""));
            lines.extend(pretty(statement).lines().map(command));
        }
        lines
    }
}

/// A row: a finding, or what several say together.
struct Row<'a> {
    state: FindingState,
    name: String,
    text: String,
    finding: Option<&'a Finding>,
}

impl<'a> Row<'a> {
    fn ok(name: &str, parts: &[String]) -> Self {
        Self { state: FindingState::Ok, name: name.to_owned(), text: parts.join(", "), finding: None }
    }

    fn of_finding(finding: &'a Finding) -> Self {
        Self { state: finding.state, name: finding.name.clone(), text: finding.cause.clone(), finding: Some(finding) }
    }
}

fn mark(state: FindingState, screen: Screen) -> String {
    match state {
        FindingState::Ok => screen.tick(),
        FindingState::NotChecked => "?".dimmed().to_string(),
        FindingState::Problem => screen.cross(),
        _ => screen.warning(),
    }
}

/// A command on its own line.
fn command(text: &str) -> String {
    format!("{}{text}", " ".repeat(COMMAND))
}

/// A JSON value on several lines, without characters that a terminal interprets.
pub(super) fn pretty(value: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().map(escape_controls).collect::<Vec<_>>().join("\n")
}

fn joined(lines: Vec<String>) -> String {
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests;
