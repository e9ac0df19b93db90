//! `rolecall status`: every profile's session, and what is wrong.

mod follow;
mod frame;
mod render;
mod sources;
mod watch;

use std::collections::BTreeSet;

use rolecall_protocol::{Endpoint, ProfileName, Status};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::cli;
use crate::context::Context;
use crate::daemon::CallError;
use crate::error::CliError;
use crate::output;

/// Prints the status once, or with `--watch` whenever it changes.
pub(crate) fn run(options: &cli::Status, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    for name in &options.names {
        // The daemon knows similar names.
        daemon.call_json::<IgnoredAny>(&Endpoint::Profile(name.clone()), b"")?;
    }
    if options.watch {
        return watch::run(options, context);
    }
    let status = select(daemon.call_json(&Endpoint::Status, b"")?, &options.names);
    match options.output.data() {
        Some(format) => output::print_data(format, &status),
        None => {
            render::print(&read::<Status>(status)?, &context.zone, context.screen.widened(options.output.is_wide()))
        }
    }
}

/// Keeps only the named profiles and their sources. Keeps all of them without names.
fn select(mut status: Value, names: &[ProfileName]) -> Value {
    if names.is_empty() {
        return status;
    }
    let keep = |status: &mut Value, list: &str, names: &BTreeSet<String>| {
        let is_named = |item: &Value| item["name"].as_str().is_some_and(|name| names.contains(name));
        status[list].as_array_mut().into_iter().for_each(|items| items.retain(is_named));
    };
    keep(&mut status, "profiles", &names.iter().map(ToString::to_string).collect());
    let profiles = status["profiles"].as_array().into_iter().flatten();
    let sources = profiles.filter_map(|profile| profile["source"].as_str().map(str::to_owned)).collect();
    keep(&mut status, "sources", &sources);
    status
}

/// Parses the JSON of a response.
fn read<T: DeserializeOwned>(status: Value) -> Result<T, CliError> {
    let malformed = |error| CallError::InvalidResponse(format!("its answer is not what was asked for ({error})"));
    serde_json::from_value(status).map_err(|error| malformed(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn select_keeps_named_profiles_and_their_sources() {
        let status = serde_json::to_value(render::tests::sample()).unwrap();
        assert_eq!(select(status.clone(), &[]), status);
        let selected: Status = read(select(status, &["prod".parse().unwrap(), "audit".parse().unwrap()])).unwrap();
        let profiles: Vec<&str> = selected.profiles.iter().map(|profile| profile.name.as_str()).collect();
        let sources: Vec<&str> = selected.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!((profiles, sources), (vec!["audit", "prod"], vec!["work"]));
        assert_eq!(select(Value::Null, &["prod".parse().unwrap()])["profiles"], Value::Null);
    }
}
