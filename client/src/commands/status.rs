//! `rolecall status`: every profile's session at a glance, and what is wrong.

mod follow;
mod frame;
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
    let (top, blocks) = blocks(status, now, zone, screen);
    top + &blocks.concat()
}

/// What stands above the profiles, and a piece of whole lines for each of them.
fn blocks(status: &Status, now: Timestamp, zone: &TimeZone, screen: Screen) -> (String, Vec<String>) {
    let lines =
        [lock_lines(status, now, zone, screen), config_lines(status, now, zone, screen), clock_lines(status, screen)]
            .concat();
    let top: String = lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
    if status.profiles.is_empty() {
        return (top, Vec::new());
    }
    let rows: Vec<Row> = status.profiles.iter().map(|profile| row(profile, now, screen)).collect();
    let (headings, blocks) = table::blocks(COLUMNS, &rows, screen.width);
    (top + &headings, blocks)
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

fn row(profile: &ProfileStatus, now: Timestamp, screen: Screen) -> Row {
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
            session(profile, now, screen),
            renewal.into(),
            used.into(),
        ],
        below: match &profile.problem {
            Some(problem) => screen.paragraph("  ", &said(problem), &profile_aside(profile, problem, now)),
            None => Vec::new(),
        },
    }
}

/// The session: a bar of what is left, or why there is none.
fn session(profile: &ProfileStatus, now: Timestamp, screen: Screen) -> Cell {
    let dimmed = Style::new().dimmed();
    match (&profile.session, profile.state) {
        (Some(session), ProfileState::Ready | ProfileState::Failed | ProfileState::LoginNeeded) => {
            let Some(end) = session.expires else { return "no end: keys of the source".into() };
            let rest = end.duration_since(now);
            let bar = screen.bar(rest, end.duration_since(session.issued));
            let style = if rest.as_secs() < 15 * 60 { Style::new().yellow() } else { Style::new() };
            Cell::styled(format!("{bar}  {}", words::left(now, end)), style)
        }
        (_, ProfileState::Unused) => Cell::styled(words::unused(profile.last_used), dimmed),
        (_, ProfileState::Expired) => Cell::styled("expired, renewed on use", dimmed),
        (_, ProfileState::Ready) => "ready".into(),
        (_, ProfileState::LoginNeeded) => Cell::styled("login needed", Style::new().yellow()),
        (_, ProfileState::Failed) => Cell::styled("failing", Style::new().yellow()),
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
    let says_when = problem.retry.is_some()
        || profile.next_renewal.is_some()
        || problem.error.hint.as_deref().is_some_and(|hint| hint.contains("tried again"));
    match problem.class {
        ErrorClass::Retry | ErrorClass::Change if !says_when => aside_or(problem, now, "; tried again on use"),
        _ => aside(problem, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five profiles in five states at noon.
    pub(super) fn sample() -> Status {
        let profile = |name: &str, state: &str, more: serde_json::Value| {
            let mut profile = serde_json::json!({
                "name": name, "cluster": "prod", "region": "eu-west-1", "source": "work", "state": state,
                "role_arn": "arn:aws:iam::111122223333:role/team/developers",
            });
            profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            profile
        };
        let session = |issued: &str, expires: &str| serde_json::json!({"session": {"key_id_suffix": "WXYZ", "issued": issued, "expires": expires}});
        let mut prod = session("2026-01-02T11:47:00Z", "2026-01-02T12:47:00Z");
        prod["next_renewal"] = "2026-01-02T12:17:00Z".into();
        prod["last_used"] = "2026-01-02T11:59:48Z".into();
        let mut worried = session("2026-01-02T11:10:00Z", "2026-01-02T12:10:00Z");
        worried["problem"] = serde_json::json!({"since": "2026-01-02T11:55:00Z", "code": "aws_unavailable",
            "class": "retry", "retry": "2026-01-02T12:00:12Z",
            "message": "STS in eu-west-1 does not answer", "hint": "It is tried again by itself"});
        let lost = serde_json::json!({"problem": {"since": "2026-01-02T10:00:00Z", "code": "login_needed",
            "message": "partner: the login of source \"partner\"\u{1b}[2J has expired", "hint": "Run: rolecall login partner"}});
        serde_json::from_value(serde_json::json!({
            "daemon": {"version": "0.1.0", "protocol": 1, "pid": 7, "started": "2026-01-02T10:00:00Z", "socket": "/s"},
            "config": {"path": "/c", "loaded": "2026-01-02T10:00:00Z"},
            "profiles": [
                profile("audit", "unused", serde_json::json!({})),
                profile("lab", "moon_phase", serde_json::json!({})),
                profile("partner", "login_needed", lost),
                profile("prod", "ready", prod),
                profile("staging", "ready", worried),
            ],
        }))
        .unwrap()
    }

    fn shown(status: &Status, unicode: bool, width: Option<usize>) -> String {
        let now = "2026-01-02T12:00:00Z".parse().unwrap();
        let text = render(status, now, &TimeZone::UTC, Screen { unicode, width });
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn the_table() {
        assert_eq!(
            shown(&sample(), true, None),
            "  PROFILE  CLUSTER         ROLE        SESSION                              NEXT RENEWAL  LAST USED
○ audit    prod eu-west-1  developers  not used yet
! lab      prod eu-west-1  developers  unknown to this version of rolecall
! partner  prod eu-west-1  developers  login needed
  partner: the login of source \"partner\"\\u{1b}[2J has expired. Run: rolecall login partner (2 h ago)
● prod     prod eu-west-1  developers  █████████████░░░  47 min left        in 17 min     12 s ago
● staging  prod eu-west-1  developers  ███░░░░░░░░░░░░░  10 min left
  STS in eu-west-1 does not answer. It is tried again by itself (5 min ago; next try in 12 s)
"
        );
    }

    #[test]
    fn a_narrow_terminal_without_unicode() {
        let mut status = sample();
        status.profiles.retain(|profile| profile.name.as_str() == "prod");
        assert_eq!(
            shown(&status, false, Some(60)),
            "  PROFILE  CLUSTER         SESSION
* prod     prod eu-west-1  #############...  47 min left
"
        );
    }

    #[test]
    fn the_next_renewal_is_the_first_to_go() {
        let mut status = sample();
        status.profiles.retain(|profile| profile.name.as_str() == "prod");
        assert_eq!(
            shown(&status, true, Some(80)),
            "  PROFILE  CLUSTER         ROLE        SESSION                        LAST USED
● prod     prod eu-west-1  developers  █████████████░░░  47 min left  12 s ago
"
        );
        // Where nobody is told of one there is no column.
        status.profiles[0].next_renewal = None;
        assert!(!shown(&status, true, None).contains("RENEWAL"));
    }

    #[test]
    fn a_broken_configuration_comes_first() {
        let mut status = sample();
        status.profiles.clear();
        status.config.problem = serde_json::from_value(serde_json::json!({"since": "2026-01-02T11:59:00Z",
            "code": "config_invalid", "message": "config.toml:3: unknown key", "hint": "Mend that line."}))
        .unwrap();
        assert_eq!(
            shown(&status, true, None),
            "\
! config.toml:3: unknown key. Mend that line. (1 min ago)
  The configuration read at 10:00 stays in force until that is mended.
"
        );
        status.config.loaded = None;
        assert_eq!(
            shown(&status, true, None),
            "\
! config.toml:3: unknown key. Mend that line. (1 min ago)
  No profile is served until that is mended.
"
        );
    }

    #[test]
    fn a_lock_is_said_before_all_else() {
        let mut status = sample();
        status.profiles.clear();
        let lock = &mut status.daemon.lock;
        (lock.locked, lock.since) = (true, Some("2026-01-02T10:02:00Z".parse().unwrap()));
        let locked = "! locked since 10:02: no profile is served. Run: rolecall unlock\n";
        assert_eq!(shown(&status, true, None), locked);
        let problem =
            rolecall_protocol::ErrorBody::new(rolecall_protocol::ErrorCode::ConfigInvalid, "[lock] has no effect");
        status.daemon.lock.problem = Some(problem.hint("Set one: rolecall lock --passphrase"));
        let ineffective = "! [lock] has no effect. Set one: rolecall lock --passphrase\n";
        assert_eq!(shown(&status, true, None), [locked, ineffective].concat());
        status.daemon.lock.locked = false;
        assert_eq!(shown(&status, true, None), ineffective);
    }

    #[test]
    fn a_wrong_clock_is_said_where_it_is_corrected() {
        let mut status = sample();
        status.profiles.clear();
        let clock = |skew_seconds, corrected| {
            let measured = "2026-01-02T12:05:00Z".parse().unwrap();
            Some(rolecall_protocol::ClockStatus { skew_seconds, measured, corrected })
        };
        status.daemon.clock = clock(4, false);
        assert_eq!(shown(&status, true, None), "");
        status.daemon.clock = clock(420, true);
        assert_eq!(
            shown(&status, true, Some(80)),
            "\
! the clock of this machine is 7 min behind AWS's; Rolecall corrects it, other
  programs do not. Set the clock.
"
        );
    }

    #[test]
    fn a_profile_that_was_used_before_is_not_called_unused() {
        let mut status = sample();
        status.profiles.truncate(1);
        status.profiles[0].last_used = Some("2026-01-02T11:00:00Z".parse().unwrap());
        let text = shown(&status, true, None);
        assert!(text.ends_with("  no session; got on next use  1 h ago\n"), "{text}");
    }

    #[test]
    fn what_nobody_tries_by_itself_is_tried_again_on_use() {
        let mut status = sample();
        status.profiles.retain(|profile| profile.name.as_str() == "staging");
        let aside = |profile: &ProfileStatus| {
            let now = "2026-01-02T12:00:00Z".parse().unwrap();
            profile_aside(profile, profile.problem.as_ref().unwrap(), now)
        };
        let mut profile = status.profiles.remove(0);
        assert_eq!(aside(&profile), "(5 min ago; next try in 12 s)");
        let problem = profile.problem.as_mut().unwrap();
        problem.retry = None;
        assert_eq!(aside(&profile), "(5 min ago)", "its hint says so already");
        let problem = profile.problem.as_mut().unwrap();
        problem.error.hint = Some("Have the role's policy changed.".to_owned());
        for (class, said) in [
            (ErrorClass::Retry, "(5 min ago; tried again on use)"),
            (ErrorClass::Change, "(5 min ago; tried again on use)"),
            (ErrorClass::Login, "(5 min ago)"),
            (ErrorClass::Clock, "(5 min ago)"),
        ] {
            profile.problem.as_mut().unwrap().class = class;
            assert_eq!(aside(&profile), said);
        }
        profile.next_renewal = Some("2026-01-02T12:05:00Z".parse().unwrap());
        profile.problem.as_mut().unwrap().class = ErrorClass::Change;
        assert_eq!(aside(&profile), "(5 min ago)", "the next renewal is that try");
    }

    #[test]
    fn problems_are_wrapped_where_the_terminal_ends() {
        let mut status = sample();
        status.profiles.retain(|profile| profile.name.as_str() == "staging");
        assert_eq!(
            shown(&status, true, Some(50)),
            "  PROFILE  SESSION
● staging  ███░░░░░░░░░░░░░  10 min left
  STS in eu-west-1 does not answer. It is tried
  again by itself (5 min ago; next try in 12 s)
"
        );
    }
}
