//! `rolecall login SOURCE`: a person does what it takes for a source to give credentials.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, LoginFlow, LoginStatus, LoginStep, SourceStatus, Status, sanitize_for_terminal};

use crate::cli::Login;
use crate::daemon::{Daemon, IfAbsent};
use crate::error::CliError;
use crate::format_time;
use crate::login::browser;
use crate::login::flow::{self, LoginOptions, LoginOutcome};
use crate::login::prompter::{CodeInput, Prompter};
use crate::login::source::{self, LoginNeed};
use crate::run::Context;
use crate::{clock, output};

/// Logs in, and says until when.
pub(crate) fn run(wanted: &Login, context: &Context) -> Result<(), CliError> {
    let daemon = Daemon::find(IfAbsent::Start)?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let now = clock::now();
    let source = match &wanted.name {
        Some(name) => source::find(name, &status)?,
        None => match source::needing_login(&status, now)? {
            LoginNeed::One(source) => source,
            LoginNeed::None => return nothing_needed(&status, wanted.json, context),
        },
    };
    let has_browser = !wanted.no_browser && browser::is_available(&context.environment);
    let flow = if has_browser && !wanted.device { LoginFlow::Browser } else { LoginFlow::Device };
    let codes = if wanted.code_stdin { CodeInput::StandardInput } else { CodeInput::Terminal };
    let mut prompter = Prompter::for_command(&source, context, codes, has_browser)?;
    let done = flow::log_in(&daemon, &source, LoginOptions { flow, renew: wanted.renew, draft: None }, &mut prompter)?;
    if wanted.json {
        return super::print_json(&LoginStep::from(done));
    }
    let outcome_text = outcome_text(&done, clock::now(), &TimeZone::system());
    output::print(&format!("{} source {source}: {outcome_text}\n", context.screen.tick()))?;
    if let Some(problem) = &done.source.problem {
        output::print_note(&format!("source {source}: {}", problem.error));
    }
    Ok(())
}

/// What a login has come to.
pub(crate) fn outcome_text(done: &LoginOutcome, now: Timestamp, zone: &TimeZone) -> String {
    let whose = done.arn.as_deref().map(|arn| format!(" as {}", sanitize_for_terminal(arn))).unwrap_or_default();
    let state = match (&done.source.login, whose.as_str()) {
        (Some(login), whose) => format!("logged in{whose}{}", end_text(login, now, zone)),
        (None, "") => "no person is needed for it".to_owned(),
        (None, whose) => format!("no person is needed for it; it signs{whose}"),
    };
    if done.changed { state } else { format!("nothing to do: {state}") }
}

/// ` until 19:42 (7 h; renewed by itself until then)`.
fn end_text(login: &LoginStatus, now: Timestamp, zone: &TimeZone) -> String {
    match (login.ends, login.renews) {
        // What ends then is renewed then; when that ends nobody knows.
        (_, true) => " (renewed by itself)".to_owned(),
        (Some(end), false) => format!(" until {}", format_time::until(now, end, zone, None)),
        (None, false) => String::new(),
    }
}

/// Nobody has to do anything: which sources there are, and until when it stays so.
fn nothing_needed(status: &Status, json: bool, context: &Context) -> Result<(), CliError> {
    if json {
        return super::print_json(&status.sources);
    }
    let (now, zone) = (clock::now(), TimeZone::system());
    let lines = status.sources.iter().map(|source| source_line(source, now, &zone));
    let lines: Vec<String> =
        std::iter::once(format!("{} no source needs a login", context.screen.tick())).chain(lines).collect();
    output::print(&(lines.join("\n  ") + "\n"))
}

/// A source in one line.
fn source_line(source: &SourceStatus, now: Timestamp, zone: &TimeZone) -> String {
    let kind = sanitize_for_terminal(&source.kind);
    let login = source.login.as_ref().map(|login| format!(", logged in{}", end_text(login, now, zone)));
    format!("{}: {kind}{}", source.name, login.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn done(step: serde_json::Value) -> LoginOutcome {
        match serde_json::from_value(step).unwrap() {
            LoginStep::Done { source, arn, changed } => LoginOutcome { source, arn, changed },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_login_has_come_to() {
        let arn = "arn:aws:sts::111122223333:assumed-role/dev/x";
        let outcome_text = |login: serde_json::Value, arn: Option<&str>, changed| {
            let source = serde_json::json!({"name": "work", "kind": "AWS profile work", "login": login});
            let step = serde_json::json!({"step": "done", "source": source, "arn": arn, "changed": changed});
            outcome_text(&done(step), at("2026-01-02T12:00:00Z"), &TimeZone::UTC)
        };
        let end = "2026-01-02T19:42:00Z";
        let sso = serde_json::json!({"kind": "sso", "ends": end, "renews": true});
        assert_eq!(outcome_text(sso.clone(), Some(arn), true), format!("logged in as {arn} (renewed by itself)"));
        assert!(outcome_text(sso, Some(arn), false).starts_with("nothing to do: logged in as arn:"));
        let mfa = serde_json::json!({"kind": "mfa", "ends": end});
        assert_eq!(outcome_text(mfa, None, true), "logged in until 19:42 (7 h 42 min)");
        let login = serde_json::json!({"kind": "aws_login", "renews": true});
        assert_eq!(outcome_text(login, None, true), "logged in (renewed by itself)");
        assert_eq!(outcome_text(serde_json::Value::Null, None, false), "nothing to do: no person is needed for it");
        assert_eq!(
            outcome_text(serde_json::Value::Null, Some("a\u{1b}b"), false),
            "nothing to do: no person is needed for it; it signs as a\\u{1b}b"
        );
    }
}
