//! The table of sources below the profiles: how long each login is valid. A problem of a source is shown here once,
//! instead of once for each of its profiles.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::Style;
use rolecall_protocol::{Problem, ProfileStatus, SourceName, SourceStatus, Status, sanitize_for_terminal};

use crate::login::source::waits_for_login;
use crate::login::status::{LoginSummary, Urgency};
use crate::problem_text::{problem_text, profile_timing};
use crate::terminal::style::Screen;
use crate::terminal::table::{self, Cell, Column, Hidden, Rendered, Row};

const COLUMNS: &[Column] =
    &[Column::fixed(""), Column::fixed("SOURCE"), Column::optional("KIND", 1), Column::fixed("LOGIN")];

/// Problems that are shown at the source instead of at its profiles.
pub(super) struct SourceReports<'a> {
    reasons: BTreeMap<&'a SourceName, Reason<'a>>,
    /// Sources whose login has expired, even if no profile has failed yet.
    expired_logins: BTreeSet<&'a SourceName>,
}

/// Why profiles of a source get no session.
#[derive(Clone, Copy)]
enum Reason<'a> {
    /// The source needs a login.
    Login,
    /// The source fails, and several of its profiles with it. This is the first of them.
    Failing(&'a ProfileStatus, &'a Problem),
}

impl<'a> SourceReports<'a> {
    pub(super) fn of(status: &'a Status, now: Timestamp) -> Self {
        let mut reasons = BTreeMap::new();
        let failing: BTreeMap<_, _> =
            status.sources.iter().filter_map(|source| Some((&source.name, source.problem.as_ref()?))).collect();
        let mut first = BTreeMap::new();
        for profile in &status.profiles {
            let Some(problem) = &profile.problem else { continue };
            if waits_for_login(problem) {
                reasons.insert(&profile.source, Reason::Login);
            } else if failing.get(&profile.source).is_some_and(|source_problem| source_problem.error == problem.error)
                && let Some(first) = first.insert(&profile.source, (profile, problem))
            {
                reasons.entry(&profile.source).or_insert(Reason::Failing(first.0, first.1));
            }
        }
        let waiting = failing.iter().filter(|(_, problem)| waits_for_login(problem));
        reasons.extend(waiting.map(|(name, _)| (*name, Reason::Login)));
        let has_expired = |source: &&SourceStatus| source.login.as_ref().is_some_and(|login| login.needs_login(now));
        Self { reasons, expired_logins: status.sources.iter().filter(has_expired).map(|source| &source.name).collect() }
    }

    /// Whether the login of a source has expired.
    pub(super) fn login_expired(&self, source: &SourceName) -> bool {
        self.expired_logins.contains(source)
    }

    /// Whether the problem of a profile is shown at its source.
    pub(super) fn covers(&self, profile: &ProfileStatus) -> bool {
        match (self.reasons.get(&profile.source), &profile.problem) {
            (Some(Reason::Login), Some(problem)) => waits_for_login(problem),
            (Some(Reason::Failing(_, source_problem)), Some(problem)) => source_problem.error == problem.error,
            _ => false,
        }
    }
}

/// A source that is shown.
pub(super) struct SourceLine<'a> {
    name: &'a SourceName,
    kind: String,
    words: String,
    urgency: Urgency,
    detail_lines: Vec<String>,
}

/// The sources that need a login or fail, sorted by name.
pub(super) fn lines<'a>(
    status: &'a Status,
    reports: &SourceReports<'a>,
    now: Timestamp,
    zone: &TimeZone,
    screen: Screen,
) -> Vec<SourceLine<'a>> {
    let known: BTreeMap<&SourceName, &SourceStatus> =
        status.sources.iter().map(|source| (&source.name, source)).collect();
    // An older agent reports no sources.
    let names = known.keys().chain(reports.reasons.keys()).copied().collect::<BTreeSet<_>>();
    let line = |name: &'a SourceName| {
        let source = known.get(name).copied();
        let kind = source.map(|source| sanitize_for_terminal(&source.kind)).unwrap_or_default();
        let line =
            |words, urgency, detail_lines| Some(SourceLine { name, kind: kind.clone(), words, urgency, detail_lines });
        if let Some(Reason::Failing(profile, problem)) = reports.reasons.get(name) {
            let detail_lines = screen.paragraph("  ", &problem_text(problem), &profile_timing(profile, problem, now));
            return line("failing".to_owned(), Urgency::Now, detail_lines);
        }
        let login = source.and_then(|source| source.login.as_ref());
        let is_needed = reports.reasons.contains_key(name);
        let is_served = || status.profiles.iter().any(|profile| profile.source == *name && profile.session.is_some());
        let LoginSummary { words, urgency } = LoginSummary::of(login, is_needed, is_served, now, zone)?;
        let arrow = if screen.unicode { "→" } else { "->" };
        let words = urgency.command(name).map_or_else(|| words.clone(), |run| format!("{words} {arrow} {run}"));
        line(words, urgency, Vec::new())
    };
    names.into_iter().filter_map(line).collect()
}

/// Renders the lines as a table. If the terminal is too narrow for a whole LOGIN cell, its text stands below the row,
/// since a command must not be cut off. Empty if there are no lines.
pub(super) fn render(lines: &[SourceLine<'_>], is_urgent: bool, screen: Screen) -> (String, Hidden) {
    let lines: Vec<&SourceLine<'_>> = lines.iter().filter(|line| !is_urgent || line.urgency >= Urgency::Soon).collect();
    if lines.is_empty() {
        return (String::new(), Hidden::default());
    }
    let longest = |of: fn(&SourceLine<'_>) -> usize| lines.iter().map(|line| of(line)).max().unwrap_or(0);
    let names = longest(|line| line.name.as_str().chars().count()).max("SOURCE".len());
    // The mark, a blank, and the gap between two columns.
    let min_width = 2 + names + 2 + longest(|line| line.words.chars().count());
    let is_narrow = screen.table_width().is_some_and(|width| width < min_width);
    let row = |line: &&SourceLine<'_>| {
        let dimmed = Style::new().dimmed();
        let (mark, mark_style, tone, words_style) = match line.urgency {
            Urgency::Soon | Urgency::Now => ("!", Style::new().yellow().bold(), Style::new(), Style::new().yellow()),
            Urgency::FirstUse => (screen.empty(), dimmed, dimmed, dimmed),
            Urgency::None => (screen.full(), dimmed, dimmed, dimmed),
        };
        let mut cells = vec![
            Cell::styled(mark, mark_style),
            Cell::styled(line.name.as_str(), tone),
            Cell::styled(&line.kind, tone),
        ];
        let mut detail_lines = Vec::new();
        if is_narrow {
            detail_lines = screen.paragraph("  ", &line.words, "");
        } else {
            cells.push(Cell::styled(&line.words, words_style));
        }
        detail_lines.extend(line.detail_lines.iter().cloned());
        Row { cells, detail_lines }
    };
    let rows: Vec<Row> = lines.iter().map(row).collect();
    let Rendered { headings, rows, hidden } = table::render_parts(COLUMNS, &rows, screen);
    (format!("\n{headings}{}", rows.concat()), hidden)
}
