//! `rolecall login SOURCE`: logs in to a source, so that it gives credentials.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, LoginFlow, LoginStep, SourceStatus, Status, sanitize_for_terminal};

use crate::cli::Login;
use crate::clock;
use crate::context::Context;
use crate::error::CliError;
use crate::format_time;
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
    let (now, zone) = (clock::now(), format_time::local_zone());
    if status.sources.is_empty() {
        output::print_note("no source is configured, so there is nothing to log in to");
        return Ok(());
    }
    let lines = status.sources.iter().map(|source| source_line(source, is_checked(source, status), now, &zone));
    let headline = if status.sources.iter().any(|source| source.problem.is_some()) {
        format!("{} no source needs a login", context.screen.warning())
    } else if status.sources.iter().all(|source| is_checked(source, status)) {
        format!("{} no source needs a login", context.screen.tick())
    } else {
        "no source is known to need a login".to_owned()
    };
    let lines = lines.flat_map(|line| context.screen.wrap(("  ", 2), 4, &line, ""));
    output::print(&(std::iter::once(headline).chain(lines).collect::<Vec<_>>().join("\n") + "\n"))
}

/// Whether the agent knows that the source gives credentials: it knows the login, or a session was made from it.
fn is_checked(source: &SourceStatus, status: &Status) -> bool {
    source.login.is_some()
        || status.profiles.iter().any(|profile| profile.source == source.name && profile.session.is_some())
}

/// A source and its login as one line.
fn source_line(source: &SourceStatus, is_checked: bool, now: Timestamp, zone: &TimeZone) -> String {
    let kind = sanitize_for_terminal(&source.kind);
    let login = source.login.as_ref().map(|login| format!(", logged in{}", end_text(login, now, zone)));
    let problem = source.problem.as_ref().map(|problem| {
        let error = problem.error.clone().sanitized();
        format!("; it fails, and a login does not help: {error}")
    });
    let is_unused = !is_checked && problem.is_none();
    let unused = is_unused.then(|| format!(", not used yet; to check it: rolecall login {}", source.name));
    let details = [login, problem, unused].into_iter().flatten().collect::<String>();
    format!("{}: {kind}{details}", source.name)
}
