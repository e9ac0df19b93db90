//! `rolecall source …`: the sources of base credentials.

mod list;
mod remove;
mod show;

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{ProfileName, SourceName, SourceStatus, Status};

use crate::cli::SourceAction;
use crate::context::Context;
use crate::error::CliError;
use crate::login::source::waits_for_login;
use crate::login::status::LoginSummary;

/// Runs the command.
pub(crate) fn run(action: &SourceAction, context: &Context) -> Result<(), CliError> {
    match action {
        SourceAction::List(output) => list::run(output, context),
        SourceAction::Show { name, output } => show::run(name, output, context),
        SourceAction::Remove { names } => remove::run(names, context),
    }
}

/// The profiles of each source.
fn profiles_by_source(status: &Status) -> BTreeMap<&SourceName, Vec<&ProfileName>> {
    let mut profiles: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for profile in &status.profiles {
        profiles.entry(&profile.source).or_default().push(&profile.name);
    }
    profiles
}

/// A source for programs: its state, and the profiles that use it.
fn data(source: &SourceStatus, profiles: &[&ProfileName]) -> serde_json::Value {
    let mut value = serde_json::to_value(source).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("profiles".to_owned(), serde_json::json!(profiles));
    }
    value
}

/// The state of the source's login, and the command to run.
fn login_text(source: &SourceStatus, status: &Status, now: Timestamp, zone: &TimeZone) -> String {
    let is_needed = source.problem.as_ref().is_some_and(waits_for_login);
    let is_served = || status.profiles.iter().any(|profile| profile.source == source.name && profile.session.is_some());
    match LoginSummary::of(source.login.as_ref(), is_needed, is_served, now, zone) {
        Some(LoginSummary { words, urgency }) => {
            urgency.command(&source.name).map_or_else(|| words.clone(), |run| format!("{words}; run: {run}"))
        }
        None if source.problem.is_some() => "failing".to_owned(),
        None => "needs no login".to_owned(),
    }
}
