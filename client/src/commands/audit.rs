//! `rolecall audit`: the decisions in the audit log. Reads the files of the daemon, which need not run.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use owo_colors::Style;
use rolecall_protocol::{AuditDecision, AuditProcess, AuditRecord, Endpoint, Status, location, sanitize_for_terminal};

use crate::cli::Audit;
use crate::context::Context;
use crate::error::CliError;
use crate::format_time;
use crate::terminal::style::Screen;
use crate::terminal::table::{Cell, Column, Row, render};
use crate::{clock, output};

/// How many decisions are printed if the user asks for no period.
const DEFAULT_LINES: usize = 50;
/// The largest part of a file that is read, several times as much as the daemon writes into it.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The name of the client, whose parent is the program that asks.
const CLIENT: &str = "rolecall";

/// Prints the decisions that the user asks for, the newest last.
pub(crate) fn run(wanted: &Audit, context: &Context) -> Result<(), CliError> {
    let path = log_path(context)?;
    let failed = |error: io::Error| {
        CliError::failed(
            format!("cannot read {}: {error}", path.display()),
            "It is there once the agent has served a request: rolecall status",
        )
    };
    let now = clock::now();
    let log = read(&path, &Filter::new(wanted, now, &context.zone)).map_err(failed)?;
    if log.unreadable > 0 {
        output::print_note(&format!("{}: {} lines are no decisions", path.display(), log.unreadable));
    }
    if let Some(format) = wanted.output.data() {
        return output::print_data(format, &log.records);
    }
    if log.records.is_empty() {
        output::print_note(&format!("no such decision is in {}", path.display()));
        return Ok(());
    }
    output::print(&table(&log.records, context.screen.widened(wanted.output.is_wide()), &context.zone))
}

/// The log of the running daemon, or that of a daemon that this client would start.
fn log_path(context: &Context) -> Result<PathBuf, CliError> {
    let running = context.running_daemon().and_then(|daemon| daemon.call_json::<Status>(&Endpoint::Status, b""));
    match running.ok().and_then(|status| status.daemon.audit) {
        Some(audit) => Ok(audit.file.into()),
        None => Ok(location::audit_log()?),
    }
}

/// Which decisions the user asks for.
struct Filter {
    since: Option<Timestamp>,
    profile: Option<String>,
    only_refused: bool,
    last: Option<usize>,
}

impl Filter {
    fn new(wanted: &Audit, now: Timestamp, zone: &TimeZone) -> Self {
        Self {
            since: wanted.since.map(|since| since.to_time(now, zone)),
            profile: wanted.profile.as_ref().map(ToString::to_string),
            only_refused: wanted.refused,
            last: wanted.lines.or_else(|| wanted.since.is_none().then_some(DEFAULT_LINES)),
        }
    }

    fn includes(&self, record: &AuditRecord) -> bool {
        self.since.is_none_or(|since| record.time >= since)
            && (self.profile.is_none() || self.profile == record.profile)
            && (!self.only_refused || record.decision != AuditDecision::Allowed)
    }
}

/// What was read.
#[derive(Default)]
struct Log {
    records: Vec<AuditRecord>,
    /// Lines that are no decisions.
    unreadable: usize,
}

/// Reads the log and the one before it.
fn read(path: &Path, filter: &Filter) -> io::Result<Log> {
    // In this order: a log that becomes the old one in between is found twice, and not never.
    let current = File::open(path)?;
    let old = File::open(location::old_log(path)).ok();
    let identity = |file: &File| file.metadata().map(|state| (state.dev(), state.ino()));
    let is_current = |old: &File| matches!((identity(old), identity(&current)), (Ok(a), Ok(b)) if a == b);
    let mut log = Log::default();
    if let Some(old) = old.filter(|old| !is_current(old)) {
        log.read(old, filter)?;
    }
    log.read(current, filter)?;
    let surplus = filter.last.map_or(0, |last| log.records.len().saturating_sub(last));
    log.records.drain(..surplus);
    Ok(log)
}

impl Log {
    fn read(&mut self, file: File, filter: &Filter) -> io::Result<()> {
        let mut reader = BufReader::new(file.take(MAX_FILE_BYTES));
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            match serde_json::from_slice(&line) {
                Ok(record) if filter.includes(&record) => self.records.push(record),
                Ok(_) => {}
                // The daemon may be writing it.
                Err(_) if !line.ends_with(b"\n") => {}
                Err(_) => self.unreadable += 1,
            }
        }
    }
}

fn table(records: &[AuditRecord], screen: Screen, zone: &TimeZone) -> String {
    let columns = [
        Column::fixed("TIME"),
        Column::fixed("OPERATION"),
        Column::fixed("NAME"),
        Column::fixed("RESULT"),
        Column::optional("BY", 1).short_at(6),
        Column::optional("PID", 2),
        Column::optional("ROLE", 5),
        Column::optional("SESSION", 4),
        Column::optional("KEY", 3),
        Column::optional("TOOK", 6),
    ];
    let rows: Vec<Row> = records.iter().map(|record| row(record, zone)).collect();
    render(&columns, &rows, screen)
}

fn row(record: &AuditRecord, zone: &TimeZone) -> Row {
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), sanitize_for_terminal);
    let name = record.profile.as_ref().or(record.source.as_ref()).or(record.key.as_ref());
    let programs = programs(record);
    let first = programs.first().cloned().unwrap_or_else(|| "-".to_owned());
    let role = record.role.as_deref().map(|arn| arn.rsplit('/').next().unwrap_or(arn));
    let cells = vec![
        format_time::date_time(record.time, zone).into(),
        sanitize_for_terminal(&record.operation).into(),
        text(&name.cloned()).into(),
        result(record),
        Cell::from(if programs.is_empty() { "-".to_owned() } else { programs.join(" < ") }).shortened(first),
        record.process.as_ref().map_or_else(|| "-".to_owned(), |process| process.pid.to_string()).into(),
        role.map_or_else(|| "-".to_owned(), sanitize_for_terminal).into(),
        record.cached.map_or("-", |is_cached| if is_cached { "cached" } else { "new" }).into(),
        record.key_id.as_deref().map_or_else(|| "-".to_owned(), |id| format!("…{}", sanitize_for_terminal(id))).into(),
        record.latency_us.map_or_else(|| "-".to_owned(), latency).into(),
    ];
    let lost = (record.lost > 0).then(|| format!("  {} decisions before this one were lost", record.lost));
    Row { cells, detail_lines: lost.into_iter().collect() }
}

fn result(record: &AuditRecord) -> Cell {
    let reason = record.reason.as_deref().map(sanitize_for_terminal);
    match (record.decision, reason) {
        (AuditDecision::Allowed, None) => "allowed".into(),
        (AuditDecision::Allowed, Some(reason)) => format!("allowed: {reason}").into(),
        (AuditDecision::Refused, reason) => Cell::styled(
            reason.map_or_else(|| "refused".to_owned(), |reason| format!("refused: {reason}")),
            Style::new().yellow(),
        ),
        (_, reason) => reason.unwrap_or_else(|| "-".to_owned()).into(),
    }
}

/// The names of the programs that asked: the parents of the client, or the process at the socket if that is another program.
fn programs(record: &AuditRecord) -> Vec<String> {
    let is_client = |process: &&AuditProcess| program(process) == CLIENT;
    let direct = record.process.iter().filter(|process| !is_client(process) || record.parents.is_empty());
    direct.chain(&record.parents).map(program).collect()
}

fn program(process: &AuditProcess) -> String {
    let executable = process.executable.as_deref().and_then(|path| path.rsplit('/').next());
    let name = executable.or(process.command.as_deref());
    name.map_or_else(|| process.pid.to_string(), sanitize_for_terminal)
}

fn latency(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: &str, profile: &str, rest: &str) -> String {
        format!(r#"{{"time":"2026-01-02T{time}Z","operation":"token","profile":"{profile}",{rest}}}"#) + "\n"
    }

    const KUBECTL: &str = r#""uid":1000,"pid":7,"started":1,"command":"rolecall","decision":"allowed",
        "parents":[{"pid":6,"executable":"/usr/bin/kubectl","command":"kubectl"},{"pid":5,"command":"bash"}],
        "role":"arn:aws:iam::111122223333:role/team/developers","cached":true,"key_id":"WXYZ","latency_us":214"#;
    const REFUSED: &str = r#""pid":8,"command":"curl","decision":"refused","reason":"pin_mismatch","latency_us":2100"#;

    fn one_line(text: &str) -> String {
        text.lines().map(str::trim_start).collect()
    }

    fn log(filter: &Filter) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let old = record("01:00:00", "prod", REFUSED) + &record("02:00:00", "dev", REFUSED);
        std::fs::write(location::old_log(&path), old).unwrap();
        let new = record("03:00:00", "prod", &one_line(KUBECTL)) + "{\"broken\n\n" + "{\"time\":\"2026-";
        std::fs::write(&path, new).unwrap();
        read(&path, filter).unwrap()
    }

    const ALL: Filter = Filter { since: None, profile: None, only_refused: false, last: None };

    fn times(filter: &Filter) -> String {
        let hours =
            log(filter).records.iter().map(|record| record.time.to_string()[12..13].to_owned()).collect::<Vec<_>>();
        hours.concat()
    }

    #[test]
    fn both_files_are_read_in_order_and_filtered() {
        assert_eq!((times(&ALL).as_str(), log(&ALL).unreadable), ("123", 2));
        assert_eq!(times(&Filter { since: Some("2026-01-02T02:00:00Z".parse().unwrap()), ..ALL }), "23");
        assert_eq!(times(&Filter { profile: Some("prod".to_owned()), ..ALL }), "13");
        assert_eq!(times(&Filter { only_refused: true, ..ALL }), "12");
        assert_eq!(times(&Filter { last: Some(1), ..ALL }), "3");
    }

    #[test]
    fn log_that_was_renamed_in_between_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, record("01:00:00", "prod", REFUSED)).unwrap();
        std::fs::hard_link(&path, location::old_log(&path)).unwrap();
        assert_eq!(read(&path, &ALL).unwrap().records.len(), 1);
        assert!(read(&folder.path().join("none"), &ALL).is_err());
    }

    fn shown(width: Option<usize>) -> String {
        let text = table(&log(&ALL).records, Screen { unicode: true, width, is_wide: false }, &TimeZone::UTC);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn table_names_the_programs_that_asked() {
        assert_eq!(
            shown(None),
            "TIME                 OPERATION  NAME  RESULT                 BY              PID  ROLE        SESSION  KEY    TOOK
2026-01-02 01:00:00  token      prod  refused: pin_mismatch  curl            8    -           -        -      2 ms
2026-01-02 02:00:00  token      dev   refused: pin_mismatch  curl            8    -           -        -      2 ms
2026-01-02 03:00:00  token      prod  allowed                kubectl < bash  7    developers  cached   …WXYZ  214 µs
"
        );
        assert_eq!(
            shown(Some(80)),
            "TIME                 OPERATION  NAME  RESULT                 BY       PID  KEY
2026-01-02 01:00:00  token      prod  refused: pin_mismatch  curl     8    -
2026-01-02 02:00:00  token      dev   refused: pin_mismatch  curl     8    -
2026-01-02 03:00:00  token      prod  allowed                kubectl  7    …WXYZ
  hidden: ROLE, SESSION, TOOK; --wide shows all
"
        );
    }

    /// Fault matrix row 108.
    #[test]
    fn hostile_program_name_is_escaped() {
        let hostile = r#""decision":"allowed","pid":1,"executable":"/x/a\u001b[2J\n\u202eb","lost":3"#;
        let record: AuditRecord = serde_json::from_str(&record("01:00:00", "prod", hostile)).unwrap();
        let screen = Screen { unicode: true, width: None, is_wide: false };
        let text = anstream::adapter::strip_str(&table(&[record], screen, &TimeZone::UTC)).to_string();
        assert!(text.contains("a\\u{1b}[2J \\u{202e}b") && text.lines().count() == 3, "{text:?}");
        assert!(text.contains("3 decisions before this one were lost"));
    }
}
