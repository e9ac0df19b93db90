//! `rolecall status`: every profile's session at a glance, and what is wrong.

mod follow;
mod frame;
mod sources;
mod watch;

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::Style;
use rolecall_protocol::{Endpoint, ErrorClass, Problem, ProfileState, ProfileStatus, RoleArn, Status};

use crate::agent::{Agent, IfAbsent};
use crate::cli;
use crate::report::CliError;
use crate::run::Context;
use crate::screen::Screen;
use crate::table::{self, Cell, Column, Row};
use crate::{clock, output, words};
use sources::Once;

const COLUMNS: &[Column] = &[
    Column { title: "", goes: 0 },
    Column { title: "PROFILE", goes: 0 },
    Column { title: "CLUSTER", goes: 2 },
    Column { title: "ROLE", goes: 3 },
    Column { title: "SESSION", goes: 0 },
    Column { title: "NEXT RENEWAL", goes: 5 },
    Column { title: "LAST USED", goes: 4 },
];

/// Prints the status, once or whenever it changes.
pub(crate) fn run(wanted: &cli::Status, context: &Context) -> Result<(), CliError> {
    if wanted.watch {
        return watch::run(wanted, context);
    }
    let agent = Agent::find(IfAbsent::Start)?;
    if wanted.json {
        return super::print_json(&agent.call_json::<serde_json::Value>(&Endpoint::Status, b"")?);
    }
    let status: Status = agent.call_json(&Endpoint::Status, b"")?;
    print(&status, &TimeZone::system(), context.screen)
}

fn print(status: &Status, zone: &TimeZone, screen: Screen) -> Result<(), CliError> {
    output::print(&render(status, clock::now(), zone, screen))?;
    if is_empty(status) {
        output::note(&super::none_yet().to_string());
    }
    Ok(())
}

/// Whether there is nothing to show because nothing has been added yet.
fn is_empty(status: &Status) -> bool {
    status.profiles.is_empty() && status.config.problem.is_none()
}

fn render(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> String {
    let Blocks { top, profiles, sources, .. } = blocks(status, now, zone, screen);
    top + &profiles.concat() + &sources
}

/// What is shown, in pieces of whole lines.
struct Blocks {
    /// What stands above the profiles.
    top: String,
    /// A piece for each of them.
    profiles: Vec<String>,
    /// What stands below them, of the sources that need a person now and then.
    sources: String,
    /// The same of those that need one now.
    urgent: String,
}

fn blocks(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Blocks {
    let lines =
        [lock_lines(status, now, zone, screen), config_lines(status, now, zone, screen), clock_lines(status, screen)]
            .concat();
    let top: String = lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    if status.profiles.is_empty() {
        return Blocks { top, profiles: Vec::new(), sources: String::new(), urgent: String::new() };
    }
    let once = Once::of(status, now);
    let rows: Vec<Row> = status.profiles.iter().map(|profile| row(profile, &once, now, screen)).collect();
    let (headings, profiles) = table::blocks(COLUMNS, &rows, screen.width);
    let lines = sources::lines(status, &once, now, zone, screen);
    let [sources, urgent] = [false, true].map(|is_urgent| sources::render(&lines, is_urgent, screen));
    Blocks { top: top + &headings, profiles, sources, urgent }
}

/// That it is locked, and what is wrong with its lock.
fn lock_lines(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Vec<String> {
    let lock = &status.daemon.lock;
    let locked = lock.locked.then(|| {
        let since = lock.since.map(|since| format!(" since {}", words::moment(now, since, zone))).unwrap_or_default();
        format!("locked{since}: no profile is served. Run: rolecall unlock")
    });
    let problem = lock.problem.clone().map(|problem| problem.sanitized().to_string());
    let mark = format!("{} ", screen.warning());
    locked.into_iter().chain(problem).flat_map(|told| screen.paragraph(&mark, &told, "")).collect()
}

/// A configuration that is not in force, and what is meanwhile.
fn config_lines(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> Vec<String> {
    let Some(problem) = &status.config.problem else { return Vec::new() };
    let meanwhile = super::meanwhile(&status.config, now, zone);
    let mut lines = screen.paragraph(&format!("{} ", screen.warning()), &said(problem), &aside(problem, now));
    lines.extend(screen.paragraph("  ", &format!("{meanwhile}."), ""));
    lines
}

/// A clock that is wrong. Rolecall gets along with it, so nothing here fails; the AWS CLI and TLS may.
fn clock_lines(status: &Status, screen: Screen) -> Vec<String> {
    let wrong = status.daemon.clock.as_ref().filter(|clock| clock.corrected).and_then(words::off);
    let Some(off) = wrong else { return Vec::new() };
    let told =
        format!("the clock of this machine is {off}; Rolecall corrects it, other programs do not. Set the clock.");
    screen.paragraph(&format!("{} ", screen.warning()), &told, "")
}

fn row(profile: &ProfileStatus, once: &Once<'_>, now: Timestamp, screen: Screen) -> Row {
    let (mark, style) = match profile.state {
        ProfileState::Ready if profile.problem.is_none() => (screen.full(), Style::new().green()),
        ProfileState::Ready => (screen.full(), Style::new().yellow()),
        ProfileState::Unused | ProfileState::Expired => (screen.empty(), Style::new().dimmed()),
        _ => ("!", Style::new().yellow().bold()),
    };
    let role = profile.role_arn.as_ref().map_or("-", RoleArn::role_name);
    let renewal = profile.next_renewal.map(|then| words::ahead(now, then)).unwrap_or_default();
    let used = profile.last_used.map(|then| words::ago(now, then)).unwrap_or_default();
    Row {
        cells: vec![
            Cell::styled(mark, style),
            profile.name.as_str().into(),
            format!("{} {}", profile.cluster, profile.region).into(),
            role.into(),
            session(profile, once, now, screen),
            renewal.into(),
            used.into(),
        ],
        below: match &profile.problem {
            Some(_) if once.says_of(profile) => Vec::new(),
            Some(problem) => screen.paragraph("  ", &said(problem), &profile_aside(profile, problem, now)),
            None => Vec::new(),
        },
    }
}

/// The session: a bar of what is left, or why there is none.
fn session(profile: &ProfileStatus, once: &Once<'_>, now: Timestamp, screen: Screen) -> Cell {
    let (dimmed, yellow) = (Style::new().dimmed(), Style::new().yellow());
    let whose = |what: &str| {
        let source = if once.says_of(profile) { format!(": source {}", profile.source) } else { String::new() };
        Cell::styled(format!("{what}{source}"), yellow)
    };
    let needs_login = once.is_over(&profile.source);
    match (&profile.session, profile.state) {
        (Some(session), ProfileState::Ready | ProfileState::Failed | ProfileState::LoginNeeded) => {
            let Some(end) = session.expires else { return "no end: keys of the source".into() };
            let rest = end.duration_since(now);
            let bar = screen.bar(rest, end.duration_since(session.issued));
            let style = if rest.as_secs() < 15 * 60 { yellow } else { Style::new() };
            Cell::styled(format!("{bar}  {}", words::left(now, end)), style)
        }
        (_, ProfileState::Unused) => Cell::styled(words::unused(profile.last_used, needs_login), dimmed),
        (_, ProfileState::Expired) => Cell::styled(words::expired(needs_login), dimmed),
        (_, ProfileState::Ready) => "ready".into(),
        (_, ProfileState::LoginNeeded) => whose("login needed"),
        (_, ProfileState::Failed) => whose("failing"),
        _ => Cell::styled("unknown to this version of rolecall", dimmed),
    }
}

fn said(problem: &Problem) -> String {
    problem.error.clone().sanitized().to_string()
}

/// Since when it is wrong, and when it is tried again.
fn aside(problem: &Problem, now: Timestamp) -> String {
    aside_or(problem, now, "")
}

/// The same, with what is said where nobody tries it again unasked.
fn aside_or(problem: &Problem, now: Timestamp, otherwise: &str) -> String {
    let next = words::next_try(problem, now).map_or_else(|| otherwise.to_owned(), |next| format!("; next try {next}"));
    format!("({}{next})", words::ago(now, problem.since))
}

/// The same of a profile, for which somebody's use may be the next try.
fn profile_aside(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> String {
    let says_when = problem.retry.is_some() || profile.next_renewal.is_some() || problem.error.automatic_retry;
    match problem.class {
        ErrorClass::Retry | ErrorClass::Change if !says_when => aside_or(problem, now, "; tried again on use"),
        _ => aside(problem, now),
    }
}

#[cfg(test)]
mod tests;
