//! The table of sources below the profiles: how long each login lasts. A problem of a source is shown here once, instead of
//! once for each of its profiles.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::Style;
use rolecall_protocol::{Problem, ProfileStatus, SourceName, SourceStatus, Status, sanitize_for_terminal};

use super::text::{problem_text, profile_timing};
use crate::login::source::waits_for_login;
use crate::login::status::{LoginSummary, Urgency};
use crate::terminal::style::Screen;
use crate::terminal::table::{self, Cell, Column, Row};

const COLUMNS: &[Column] = &[
    Column { title: "", drop_priority: 0 },
    Column { title: "SOURCE", drop_priority: 0 },
    Column { title: "KIND", drop_priority: 1 },
    Column { title: "LOGIN", drop_priority: 0 },
];

/// What is said of sources rather than of their profiles.
pub(super) struct SourceReports<'a> {
    reasons: BTreeMap<&'a SourceName, Reason<'a>>,
    /// Those whose login is over, whether or not that has met anybody yet.
    expired_logins: BTreeSet<&'a SourceName>,
}

/// Why profiles of a source get nothing.
#[derive(Clone, Copy)]
enum Reason<'a> {
    /// The user has to log in.
    Login,
    /// The source fails, and with it several of them, of which this is the first.
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
            let is_the_source_s =
                || failing.get(&profile.source).is_some_and(|of_source| of_source.error == problem.error);
            if waits_for_login(problem) {
                reasons.insert(&profile.source, Reason::Login);
            } else if is_the_source_s()
                && let Some(first) = first.insert(&profile.source, (profile, problem))
            {
                reasons.entry(&profile.source).or_insert(Reason::Failing(first.0, first.1));
            }
        }
        let waiting = failing.iter().filter(|(_, problem)| waits_for_login(problem));
        reasons.extend(waiting.map(|(name, _)| (*name, Reason::Login)));
        let is_over = |source: &&SourceStatus| source.login.as_ref().is_some_and(|login| login.needs_login(now));
        Self { reasons, expired_logins: status.sources.iter().filter(is_over).map(|source| &source.name).collect() }
    }

    /// Whether the login of a source has expired.
    pub(super) fn login_expired(&self, source: &SourceName) -> bool {
        self.expired_logins.contains(source)
    }

    /// Whether what is wrong with a profile is said of its source.
    pub(super) fn covers(&self, profile: &ProfileStatus) -> bool {
        match (self.reasons.get(&profile.source), &profile.problem) {
            (Some(Reason::Login), Some(problem)) => waits_for_login(problem),
            (Some(Reason::Failing(_, of_source)), Some(problem)) => of_source.error == problem.error,
            _ => false,
        }
    }
}

/// A source that there is something to say of.
pub(super) struct SourceLine<'a> {
    name: &'a SourceName,
    kind: String,
    words: String,
    urgency: Urgency,
    detail_lines: Vec<String>,
}

/// Every source that there is something to say of, by name.
pub(super) fn lines<'a>(
    status: &'a Status,
    reports: &SourceReports<'a>,
    now: Timestamp,
    zone: &TimeZone,
    screen: Screen,
) -> Vec<SourceLine<'a>> {
    let known: BTreeMap<&SourceName, &SourceStatus> =
        status.sources.iter().map(|source| (&source.name, source)).collect();
    // An older agent tells of profiles alone.
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

/// The lines as a table; as paragraphs where that has no room, since a command that is cut off is of no use. Nothing where
/// there is none.
pub(super) fn render(lines: &[SourceLine<'_>], is_urgent: bool, screen: Screen) -> String {
    let lines: Vec<&SourceLine<'_>> = lines.iter().filter(|line| !is_urgent || line.urgency >= Urgency::Soon).collect();
    if lines.is_empty() {
        return String::new();
    }
    let longest = |of: fn(&SourceLine<'_>) -> usize| lines.iter().map(|line| of(line)).max().unwrap_or(0);
    let names = longest(|line| line.name.as_str().chars().count()).max("SOURCE".len());
    // The mark, a blank, and the gap.
    let least = 2 + names + 2 + longest(|line| line.words.chars().count());
    let mark = |line: &SourceLine<'_>| match line.urgency {
        Urgency::Soon | Urgency::Now => ("!", Style::new().yellow().bold()),
        Urgency::FirstUse => (screen.empty(), Style::new().dimmed()),
        Urgency::None => (screen.full(), Style::new().dimmed()),
    };
    if screen.width.is_some_and(|width| width < least) {
        let paragraph = |line: &&SourceLine<'_>| {
            let (mark, style) = mark(line);
            let mut lines = screen.paragraph(
                &format!("{} ", style.style(mark)),
                &format!("source {}: {}", line.name, line.words),
                "",
            );
            lines.extend(line.detail_lines.iter().cloned());
            lines.join("\n") + "\n"
        };
        return format!("\n{}", lines.iter().map(paragraph).collect::<String>());
    }
    let row = |line: &&SourceLine<'_>| {
        let (mark, style) = mark(line);
        let tone = if line.urgency >= Urgency::Soon { Style::new() } else { Style::new().dimmed() };
        let words = if line.urgency >= Urgency::Soon { Style::new().yellow() } else { tone };
        Row {
            cells: vec![
                Cell::styled(mark, style),
                Cell::styled(line.name.as_str(), tone),
                Cell::styled(&line.kind, tone),
                Cell::styled(&line.words, words),
            ],
            detail_lines: line.detail_lines.clone(),
        }
    };
    let rows: Vec<Row> = lines.iter().map(row).collect();
    format!("\n{}", table::render(COLUMNS, &rows, screen.width))
}
