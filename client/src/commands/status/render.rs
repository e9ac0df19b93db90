//! The status as text: lines about the agent, a table of profiles, a table of sources.

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::Style;
use rolecall_protocol::{AuditStatus, ProfileState, ProfileStatus, RoleArn, Status, sanitize_for_terminal};

use super::sources::{self, SourceReports};
use crate::daemon::config_status;
use crate::error::CliError;
use crate::format_time;
use crate::problem_text::{has_problem, problem_text, profile_timing, rejection_text, timing};
use crate::protected::name_cell;
use crate::terminal::style::Screen;
use crate::terminal::table::{self, Cell, Column, Hidden, Rendered, Row};
use crate::{clock, output};

const COLUMNS: &[Column] = &[
    Column::fixed(""),
    Column::fixed("PROFILE"),
    Column::optional("CLUSTER", 1),
    Column::optional("ROLE", 2),
    // Without the bar if that is necessary.
    Column::fixed("SESSION").short_at(3),
    Column::optional("NEXT RENEWAL", 5),
    Column::optional("LAST USED", 4),
];

/// Prints the whole status once.
pub(super) fn print(status: &Status, zone: &TimeZone, screen: Screen) -> Result<(), CliError> {
    output::print(&render(status, clock::now(), zone, screen))?;
    if is_empty(status) {
        output::print_note(&config_status::no_profiles_error().to_string());
    }
    Ok(())
}

/// Whether no profile is configured.
pub(super) fn is_empty(status: &Status) -> bool {
    status.profiles.is_empty() && status.config.problem.is_none()
}

fn render(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> String {
    let Blocks { top, profiles, sources, hidden, .. } = blocks(status, now, zone, screen);
    top + &profiles.concat() + &sources + &hidden.hint(screen)
}

/// The rendered status. Each text consists of whole lines.
pub(super) struct Blocks {
    /// The lines about the agent, and the headings of the profiles.
    pub(super) top: String,
    /// One text for each profile.
    pub(super) profiles: Vec<String>,
    /// The table of all sources.
    pub(super) sources: String,
    /// The table of the sources that need a login soon.
    pub(super) urgent: String,
    /// What the tables do not show because the terminal is too narrow.
    pub(super) hidden: Hidden,
}

pub(super) fn blocks(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Blocks {
    let lines = [
        lock_lines(status, now, zone, screen),
        config_lines(status, now, zone, screen),
        audit_lines(status, screen),
        clock_lines(status, screen),
    ]
    .concat();
    let top: String = lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    if status.profiles.is_empty() {
        let (sources, urgent) = (String::new(), String::new());
        return Blocks { top, profiles: Vec::new(), sources, urgent, hidden: Hidden::default() };
    }
    let reports = SourceReports::of(status, now);
    let is_locked = status.daemon.lock.locked;
    let rows: Vec<Row> = status.profiles.iter().map(|profile| row(profile, &reports, is_locked, now, screen)).collect();
    let Rendered { headings, rows: profiles, hidden } = table::render_parts(COLUMNS, &rows, screen);
    let lines = sources::lines(status, &reports, now, zone, screen);
    let [(sources, more), (urgent, _)] = [false, true].map(|is_urgent| sources::render(&lines, is_urgent, screen));
    Blocks { top: top + &headings, profiles, sources, urgent, hidden: hidden.and(more) }
}

/// The lines about a locked agent, and a problem of its lock.
fn lock_lines(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Vec<String> {
    let lock = &status.daemon.lock;
    let locked = lock.locked.then(|| {
        let since =
            lock.since.map(|since| format!(" since {}", format_time::short_time(now, since, zone))).unwrap_or_default();
        format!("locked{since}: no profile is served. Run: rolecall unlock")
    });
    let problem = lock.problem.clone().map(|problem| problem.sanitized().to_string());
    let mark = format!("{} ", screen.warning());
    locked.into_iter().chain(problem).flat_map(|result_text| screen.paragraph(&mark, &result_text, "")).collect()
}

/// The lines about an invalid configuration file, which configuration is in force, and invalid included files.
fn config_lines(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Vec<String> {
    let mark = format!("{} ", screen.warning());
    let with_problem = |problem| screen.paragraph(&mark, &problem_text(problem), &timing(problem, now));
    let mut lines = Vec::new();
    if let Some(problem) = &status.config.problem {
        lines.extend(with_problem(problem));
        let in_force = config_status::config_in_force(&status.config, now, zone);
        lines.extend(screen.paragraph("  ", &format!("{in_force}."), ""));
    }
    let includes = status.config.includes.iter().filter_map(|include| include.problem.as_ref());
    lines.extend(includes.flat_map(with_problem));
    lines
}

/// The line about an audit log that cannot be written, or misses decisions.
fn audit_lines(status: &Status, screen: Screen) -> Vec<String> {
    let Some(audit) = &status.daemon.audit else { return Vec::new() };
    let AuditStatus { file, lost, waiting, problem } = audit;
    let counted = |count: &u64, what: &str| match count {
        0 => String::new(),
        1 => format!("; 1 decision {what}"),
        _ => format!("; {count} decisions {what}"),
    };
    let failing = match problem {
        Some(cause) => {
            format!("the audit log {file} cannot be written: {cause}{}", counted(waiting, "not written yet"))
        }
        None if *lost > 0 => format!("the audit log {file} is incomplete"),
        None => return Vec::new(),
    };
    let text = format!("{failing}{}. Run: rolecall doctor", counted(lost, "lost"));
    screen.paragraph(&format!("{} ", screen.warning()), &sanitize_for_terminal(&text), "")
}

/// The line about a wrong clock. Rolecall corrects it; the AWS CLI and TLS may fail.
fn clock_lines(status: &Status, screen: Screen) -> Vec<String> {
    let wrong = status.daemon.clock.as_ref().filter(|clock| clock.corrected).and_then(format_time::clock_skew);
    let Some(off) = wrong else { return Vec::new() };
    let result_text =
        format!("the clock of this machine is {off}; Rolecall corrects it, other programs do not. Set the clock.");
    screen.paragraph(&format!("{} ", screen.warning()), &result_text, "")
}

fn row(profile: &ProfileStatus, reports: &SourceReports<'_>, is_locked: bool, now: Timestamp, screen: Screen) -> Row {
    let (mark, style) = match profile.state {
        _ if has_problem(profile) => ("!", Style::new().yellow().bold()),
        ProfileState::Ready => (screen.full(), Style::new().green()),
        ProfileState::Unused | ProfileState::Expired => (screen.empty(), Style::new().dimmed()),
        _ => ("!", Style::new().yellow().bold()),
    };
    let role = profile.role_arn.as_ref().map_or("-", RoleArn::role_name);
    let renewal = profile.next_renewal.map(|then| format_time::from_now(now, then)).unwrap_or_default();
    let used = profile.last_used.map(|then| format_time::ago(now, then)).unwrap_or_default();
    Row {
        cells: vec![
            Cell::styled(mark, style),
            name_cell(profile),
            format!("{} {}", profile.cluster, profile.region).into(),
            role.into(),
            if is_locked {
                Cell::styled("locked", Style::new().dimmed())
            } else {
                session(profile, reports, now, screen)
            },
            renewal.into(),
            used.into(),
        ],
        detail_lines: detail_lines(profile, reports, now, screen),
    }
}

/// The problem of a profile, unless it is shown at its source, and whether the cluster rejects its tokens.
fn detail_lines(profile: &ProfileStatus, reports: &SourceReports<'_>, now: Timestamp, screen: Screen) -> Vec<String> {
    let problem = profile.problem.as_ref().filter(|_| !reports.covers(profile));
    let problem = problem.map(|problem| (problem_text(problem), profile_timing(profile, problem, now)));
    let rejection = rejection_text(profile).map(|rejection| (rejection, String::new()));
    problem.into_iter().chain(rejection).flat_map(|(text, aside)| screen.paragraph("  ", &text, &aside)).collect()
}

/// The session: a bar of the time that is left, or why there is no session.
fn session(profile: &ProfileStatus, reports: &SourceReports<'_>, now: Timestamp, screen: Screen) -> Cell {
    let (dimmed, yellow) = (Style::new().dimmed(), Style::new().yellow());
    let failed = |what: &str| {
        let source = if reports.covers(profile) { format!(": source {}", profile.source) } else { String::new() };
        Cell::styled(format!("{what}{source}"), yellow)
    };
    let needs_login = reports.login_expired(&profile.source);
    match (&profile.session, profile.state) {
        (Some(session), ProfileState::Ready | ProfileState::Failed | ProfileState::LoginNeeded) => {
            let Some(end) = session.expires else {
                let unknown = "expiry unknown: temporary keys of the source";
                return if session.temporary { unknown.into() } else { "no end: keys of the source".into() };
            };
            let rest = end.duration_since(now);
            let bar = screen.bar(rest, end.duration_since(session.issued));
            let style = if rest.as_secs() < 15 * 60 { yellow } else { Style::new() };
            let left = format_time::time_left(now, end);
            Cell::styled(format!("{bar}  {left}"), style).shortened(left)
        }
        (_, ProfileState::Unused) => Cell::styled(format_time::unused_session(profile.last_used, needs_login), dimmed),
        (_, ProfileState::Expired) => Cell::styled(format_time::expired_session(needs_login), dimmed),
        (_, ProfileState::Ready) => "ready".into(),
        (_, ProfileState::LoginNeeded) => failed("login needed"),
        (_, ProfileState::Failed) => failed("failing"),
        _ => Cell::styled("unknown to this version of rolecall", dimmed),
    }
}

#[cfg(test)]
pub(super) mod tests;
