//! `rolecall login SOURCE`: logs in to a source, so that it gives credentials.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, LoginFlow, LoginStep, SourceStatus, Status, join_sentences, sanitize_for_terminal};

use crate::cli::Login;
use crate::clock;
use crate::context::Context;
use crate::error::CliError;
use crate::login::browser;
use crate::login::flow::{self, LoginOptions};
use crate::login::outcome::end_text;
use crate::login::prompter::{CodeInput, Prompter};
use crate::login::source;
use crate::output::{self, DataFormat};
use crate::terminal::status_line::Sink;

/// Logs in, and prints until when the login is valid.
pub(crate) fn run(wanted: &Login, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let now = clock::now();
    let source = match &wanted.name {
        Some(name) => source::find(name, &status)?,
        None => match source::needing_login(&status, now)? {
            Some(source) => source,
            None => return nothing_needed(&status, wanted.json, context),
        },
    };
    let has_browser = !wanted.no_browser && browser::is_available(&context.environment);
    let flow = if has_browser && !wanted.device { LoginFlow::Browser } else { LoginFlow::Device };
    let codes = if wanted.code_stdin { CodeInput::StandardInput } else { CodeInput::Terminal };
    let about = format!("source \"{source}\"");
    let mut prompter = Prompter::new(about, &source, &context.environment, Sink::StandardError, codes, has_browser)?;
    let done = flow::log_in(&daemon, &source, LoginOptions { flow, renew: wanted.renew, draft: None }, &mut prompter)?;
    if wanted.json {
        return output::print_data(DataFormat::Json, &LoginStep::from(done));
    }
    let outcome_text = done.text(clock::now(), &context.zone);
    context.print_done(&format!("source {source}: {outcome_text}"))?;
    if let Some(problem) = &done.source.problem {
        output::print_note(&format!("source {source}: {}", problem.error));
    }
    Ok(())
}

/// No source needs a login: prints each source and the end of its login.
fn nothing_needed(status: &Status, json: bool, context: &Context) -> Result<(), CliError> {
    if json {
        return output::print_data(DataFormat::Json, &status.sources);
    }
    let (now, zone) = (clock::now(), TimeZone::system());
    let lines = status.sources.iter().map(|source| source_line(source, now, &zone));
    let fails = status.sources.iter().any(|source| source.problem.is_some());
    let mark = if fails { context.screen.warning() } else { context.screen.tick() };
    let lines: Vec<String> = std::iter::once(format!("{mark} no source needs a login")).chain(lines).collect();
    output::print(&(lines.join("\n  ") + "\n"))
}

/// A source and its login as one line.
fn source_line(source: &SourceStatus, now: Timestamp, zone: &TimeZone) -> String {
    let kind = sanitize_for_terminal(&source.kind);
    let login = source.login.as_ref().map(|login| format!(", logged in{}", end_text(login, now, zone)));
    let problem = source.problem.as_ref().map(|problem| {
        let error = problem.error.clone().sanitized();
        format!("; it fails, and a login does not help: {}", join_sentences(&error.message, error.hint.as_deref()))
    });
    format!("{}: {kind}{}{}", source.name, login.unwrap_or_default(), problem.unwrap_or_default())
}
