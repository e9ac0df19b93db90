//! `rolecall show NAME…`: everything about profiles.

use std::path::Path;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use owo_colors::OwoColorize;
use rolecall_protocol::{
    ConstraintDetails, Endpoint, ErrorClass, MfaDetails, Problem, ProfileDetails, ProfileInputs, ProfileName,
    ProfileState, ProfileStatus, RoleArn, SessionStatus, SourceName, SourceStatus, Status, sanitize_for_terminal,
};
use serde::de::DeserializeOwned;

use crate::cli::Show;
use crate::context::Context;
use crate::daemon::{CallError, Daemon, config_status};
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::format_time;
use crate::kubeconfig;
use crate::kubeconfig::context_entry::files;
use crate::login::source::waits_for_login;
use crate::login::status::LoginSummary;
use crate::problem_text::{self, has_problem, rejection_text};
use crate::terminal::style::Screen;
use crate::terminal::table;
use crate::{clock, output};

/// Prints the profiles. Errors after that if one of them does not exist.
pub(crate) fn run(wanted: &Show, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let all = status.profiles.iter().filter(|_| wanted.all).map(|profile| &profile.name);
    let names: Vec<&ProfileName> = wanted.names.iter().chain(all).collect();
    if names.is_empty() && wanted.output.data().is_none() {
        output::print_note(&config_status::no_profiles_error().to_string());
        return Ok(());
    }
    let Some(format) = wanted.output.data() else {
        let (found, failed) = details::<ProfileDetails>(&daemon, &names)?;
        let (now, zone, screen) = (clock::now(), &context.zone, context.screen);
        let text = |details| render(details, &status, context_of(details).as_deref(), now, zone, screen);
        output::print(&found.iter().map(text).collect::<Vec<_>>().join("\n"))?;
        return failed.map_or(Ok(()), Err);
    };
    let (found, failed) = details::<serde_json::Value>(&daemon, &names)?;
    match (found.as_slice(), wanted.all || names.len() > 1) {
        ([], false) => {}
        ([one], false) => output::print_data(format, one)?,
        (found, _) => output::print_data(format, &found)?,
    }
    failed.map_or(Ok(()), Err)
}

/// The details of the profiles that exist, and the last error about one that does not. The errors before it are printed.
fn details<T: DeserializeOwned>(
    daemon: &Daemon,
    names: &[&ProfileName],
) -> Result<(Vec<T>, Option<CliError>), CallError> {
    let (mut found, mut failed) = (Vec::new(), None);
    for name in names {
        match daemon.call_json(&Endpoint::Profile((*name).clone()), b"") {
            Ok(details) => found.push(details),
            Err(CallError::Rejected(error)) => failed.replace(error.into()).iter().for_each(output::print_error),
            Err(error) => return Err(error),
        }
    }
    Ok((found, failed))
}

/// The kubeconfig file of the profile's context. `None` if there is none, or if the file cannot be read.
fn context_of(details: &ProfileDetails) -> Option<String> {
    let name = &details.status.name;
    let found = kubeconfig::find(&files(None).ok()?, name.as_str()).ok()??;
    let current = if found.is_current { ", the current one" } else { "" };
    Some(sanitize_for_terminal(&format!("{} in {}{current}", found.context, display_path(&found.file))))
}

fn render(
    details: &ProfileDetails,
    all: &Status,
    context: Option<&str>,
    now: Timestamp,
    zone: &TimeZone,
    screen: Screen,
) -> String {
    let status = &details.status;
    let source = all.sources.iter().find(|source| source.name == status.source);
    let mut lines: Vec<(&str, String)> = vec![
        ("cluster", format!("{} in {}", status.cluster, status.region)),
        ("source", format!("{} ({})", status.source, sanitize_for_terminal(&details.source_kind))),
    ];
    lines.extend(login(status, source, now, zone).map(|login| ("login", login)));
    lines.extend(details.mfa.as_ref().map(|mfa| ("mfa", mfa_words(mfa, &status.source))));
    match details.role_chain.split_last() {
        Some((role, via)) => {
            lines.extend(via.iter().map(|role| ("via", role.to_string())));
            lines.push(("role", role.to_string()));
        }
        None => lines.push(("role", status.role_arn.as_ref().map_or("none: the source signs", RoleArn::as_str).into())),
    }
    lines.extend(details.session_name.as_ref().map(|name| ("session name", sanitize_for_terminal(name))));
    lines.extend(inputs_lines(&details.inputs));
    lines.push(("duration", duration(details)));
    lines.extend(origin(status).map(|origin| ("from", origin)));
    let needs_login = source.and_then(|source| source.login.as_ref()).is_some_and(|login| login.needs_login(now));
    let locked = all.daemon.lock.locked.then(|| "locked. Run: rolecall unlock".to_owned());
    lines.push(("state", locked.unwrap_or_else(|| state(status, needs_login).to_owned())));
    lines.extend(status.session.iter().flat_map(|session| session_lines(session, now, zone)));
    lines.extend(status.next_renewal.map(|then| ("next renewal", format_time::from_now(now, then))));
    let used = status.last_used.map_or_else(|| "never".to_owned(), |then| format_time::ago(now, then));
    lines.push(("last used", used));
    lines.extend(context.map(|context| ("context", context.to_owned())));
    if status.protected {
        lines.push(("protected", "yes: shell and exec ask before they use it".to_owned()));
    }
    lines.extend(details.pin.as_deref().map(|mode| ("pin", pin_words(mode, details))));
    lines.extend(details.tokens_only.then(|| ("AWS access", "tokens only (credentials = false)".to_owned())));
    lines.extend(details.constraints.iter().flat_map(constraint_lines));
    lines.push(("server", details.server.as_deref().map_or_else(|| "not pinned".to_owned(), sanitize_for_terminal)));
    lines.extend(details.ca_sha256.as_ref().map(|digest| ("CA SHA-256", sanitize_for_terminal(digest))));
    lines.extend(status.problem.iter().flat_map(|problem| problem_lines(status, problem, now)));
    lines.extend(rejection_text(status).map(|rejection| ("problem", rejection)));
    format!("{}\n{}", status.name.bold(), table::key_values(&lines, screen))
}

/// The included file of a profile, or the one whose profile it overrides.
fn origin(status: &ProfileStatus) -> Option<String> {
    let shown = |path: &String| sanitize_for_terminal(&display_path(Path::new(path)));
    let included = status.included_from.as_ref().map(shown);
    included.or_else(|| Some(format!("your configuration, which overrides {}", shown(status.overrides.as_ref()?))))
}

/// The login of the source, with the command to run if it has expired or soon expires.
fn login(status: &ProfileStatus, source: Option<&SourceStatus>, now: Timestamp, zone: &TimeZone) -> Option<String> {
    let problems = [status.problem.as_ref(), source.and_then(|source| source.problem.as_ref())];
    let is_needed = problems.into_iter().flatten().any(waits_for_login);
    let login = source.and_then(|source| source.login.as_ref());
    let LoginSummary { words, urgency } = LoginSummary::of(login, is_needed, || status.session.is_some(), now, zone)?;
    Some(match urgency.command(&status.source) {
        // The problem has the command too.
        Some(command) if status.problem.as_ref().is_none_or(|problem| !waits_for_login(problem)) => {
            format!("{words}. Run: {command}")
        }
        _ => words,
    })
}

/// The MFA device, and how its codes are used.
fn mfa_words(mfa: &MfaDetails, source: &SourceName) -> String {
    let length = format_time::duration(length_of(mfa.seconds));
    let use_of = if mfa.in_assume_role {
        format!(
            "a code in AssumeRole for each session of {length}: a session got with a code could assume roles for 1 h at most"
        )
    } else {
        format!("one code is valid for {length}, for all roles of source {source} (GetSessionToken)")
    };
    let by = if mfa.by_command { "; codes by command" } else { "" };
    format!("{}: {use_of}{by}", sanitize_for_terminal(mfa.serial.as_str()))
}

/// Which kubeconfigs get a token.
/// The constraints, one a line.
fn constraint_lines(constraints: &ConstraintDetails) -> Vec<(&'static str, String)> {
    let ConstraintDetails { max_lifetime_seconds, confirm, allowed_programs, allowed_hours, .. } = constraints;
    let seconds = max_lifetime_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let lifetime = seconds
        .map(|seconds| format!("{} after rolecall refresh", format_time::duration(SignedDuration::from_secs(seconds))));
    let programs = (!allowed_programs.is_empty()).then(|| sanitize_for_terminal(&allowed_programs.join(" ")));
    let confirm = match confirm.as_str() {
        "never" => None,
        "first" => Some("before the first use".to_owned()),
        "always" => Some("before each use".to_owned()),
        other => Some(sanitize_for_terminal(other)),
    };
    let hours = allowed_hours.as_deref().map(sanitize_for_terminal);
    let lines = [("usable for", lifetime), ("confirm", confirm), ("programs", programs), ("hours", hours)];
    lines.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn pin_words(mode: &str, details: &ProfileDetails) -> String {
    let mode = sanitize_for_terminal(mode);
    match mode.as_str() {
        "off" => "off: any kubeconfig gets a token".to_owned(),
        "entry" if details.has_entry_key => "entry: a call that names no server needs the entry key".to_owned(),
        "require" if details.has_entry_key => "require: every call has to name the pinned server".to_owned(),
        _ if details.has_entry_key => mode,
        _ => format!("{mode}, without an entry key. Run: rolecall kubeconfig {}", details.status.name),
    }
}

/// The optional inputs of AssumeRole.
fn inputs_lines(inputs: &ProfileInputs) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.extend(inputs.source_identity.iter().map(|name| ("source identity", sanitize_for_terminal(name))));
    for (key, value) in &inputs.tags {
        let stays = if inputs.transitive_tags.contains(key) { " (transitive)" } else { "" };
        lines.push(("tag", sanitize_for_terminal(&format!("{key}={value}")) + stays));
    }
    lines.extend(inputs.policy_arns.iter().map(|arn| ("policy ARN", sanitize_for_terminal(arn))));
    lines.extend(inputs.policy.iter().map(|policy| ("policy", sanitize_for_terminal(policy))));
    let endpoint = inputs.sts_endpoint.as_deref().map(sanitize_for_terminal);
    let kind = match (inputs.fips, inputs.dual_stack) {
        (true, true) => Some("FIPS, dual-stack"),
        (true, false) => Some("FIPS"),
        (false, true) => Some("dual-stack"),
        (false, false) => None,
    };
    let sts = match (endpoint, kind) {
        (Some(endpoint), Some(kind)) => Some(format!("{endpoint} (tokens: {kind})")),
        (endpoint, kind) => endpoint.or(kind.map(str::to_owned)),
    };
    lines.extend(sts.map(|sts| ("STS", sts)));
    lines
}

fn session_lines(session: &SessionStatus, now: Timestamp, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let until = match session.expires {
        Some(end) => format!("{} ({})", format_time::date_time(end, zone), format_time::time_left(now, end)),
        None if session.temporary => "expiry unknown (temporary keys)".to_owned(),
        None => "no end (long-lived keys)".to_owned(),
    };
    let arn = session.arn.as_ref().map(|arn| ("session", sanitize_for_terminal(arn)));
    let rest = [
        ("access key", format!("…{}", sanitize_for_terminal(&session.key_id_suffix))),
        ("since", format_time::date_time(session.issued, zone)),
        ("until", until),
    ];
    arn.into_iter().chain(rest).collect()
}

/// The problem, what ends it, and when the daemon tries again.
fn problem_lines(profile: &ProfileStatus, problem: &Problem, now: Timestamp) -> Vec<(&'static str, String)> {
    let said = format!("{} ({})", problem.error.clone().sanitized(), format_time::ago(now, problem.since));
    let needs = needs(problem).map(|needs| ("needs", needs.to_owned()));
    let retry = problem_text::next_try(profile, problem, now).map(|next| ("next try", next));
    [Some(("problem", said)), needs, retry].into_iter().flatten().collect()
}

fn length_of(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The configured duration of a session, and the limit of AWS if that is shorter.
fn duration(details: &ProfileDetails) -> String {
    let (wanted, limit) = (length_of(details.duration_seconds), details.limit_seconds.map(length_of));
    let session = details.status.session.as_ref().filter(|_| !details.role_chain.is_empty());
    let granted = session.and_then(|session| format_time::granted_if_shorter(session, limit.unwrap_or(wanted)));
    match (granted, limit) {
        (Some(granted), _) => {
            format!("{} (AWS grants no more than {})", format_time::duration(wanted), format_time::duration(granted))
        }
        (None, Some(limit)) => format!(
            "{} ({} at most: AWS limits a role that is assumed from another role)",
            format_time::duration(wanted),
            format_time::duration(limit)
        ),
        (None, None) => format_time::duration(wanted),
    }
}

/// What ends a problem; `None` if unknown.
fn needs(problem: &Problem) -> Option<&'static str> {
    match problem.class {
        ErrorClass::Retry => Some("only time"),
        ErrorClass::Login => Some("a login"),
        ErrorClass::Change => Some("a fix of the permissions or the configuration"),
        ErrorClass::Clock => Some("a correct clock on this machine"),
        _ => None,
    }
}

/// The state of a profile as text.
fn state(status: &ProfileStatus, needs_login: bool) -> &'static str {
    match status.state {
        ProfileState::Unused => format_time::unused_session(status.last_used, needs_login),
        ProfileState::Ready if has_problem(status) => "ready, with a problem",
        ProfileState::Ready => "ready",
        ProfileState::Expired => format_time::expired_session(needs_login),
        ProfileState::LoginNeeded => "login needed",
        ProfileState::Failed => "failing",
        _ => "unknown to this version of rolecall",
    }
}

#[cfg(test)]
mod tests;
