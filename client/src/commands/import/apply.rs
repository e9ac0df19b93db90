//! Carries out the plan: writes the record, the configuration and the kubeconfig. Everything is prepared before the first write, and
//! what was written is restored if a later step fails.

use std::path::Path;

use rolecall_protocol::{ConfigChecked, Endpoint};

use super::plan::{Plan, PlannedProfile};
use super::record::{Addition, ConvertedUser, Import, Records};
use crate::clock;
use crate::config_file::sources::SourceEntry;
use crate::config_file::{self, ConfigFile, ProfileEntry};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::files::error::Untouched;
use crate::kubeconfig::context_entry::{entry, new_entry_key, print_notes};
use crate::kubeconfig::{self, Conversion, Entry, Files, OldUser};
use crate::output;

/// Carries out the plan, which was made from `config`. Errors if the configuration or one of the users was changed since.
pub(super) fn apply(plan: &Plan, files: &Files, mut config: ConfigFile, context: &Context) -> Result<(), CliError> {
    // First, so that of two imports at once the second sees what the first did.
    let mut records = Records::load()?;
    let path = &config.path().to_owned();
    let existed = path.exists();
    let before = config.original_text().to_owned();
    let old_sources = config.source_names();
    let entries = plan.profiles.iter().map(|profile| add_profile(profile, &mut config, context));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    let conversions = conversions(plan, |index| entries[index].clone());
    let old_users = kubeconfig::check_convert(files, &conversions)?;
    check_with_daemon(&config, path, context)?;

    records.imports.push(import(plan, path, &config, &old_sources, &old_users));
    records.save()?;
    let written = config_file::replace_text(path, &before, &config.text()).map_err(CliError::from);
    if let Err(error) = written {
        return Err(forget(&mut records, error));
    }
    match kubeconfig::convert(files, &conversions) {
        Ok(written) => {
            Daemon::reload();
            print_notes(&written.notes);
            Ok(())
        }
        Err(error) => {
            let error = CliError::failed(error.to_string(), error.advice());
            let restored = roll_back(path, &config.text(), &before, &old_users);
            if !existed && restored.is_ok() {
                // Without the file, the configuration is as empty as with it.
                drop(std::fs::remove_file(path));
            }
            Daemon::reload();
            Err(match restored {
                Ok(()) => forget(&mut records, error),
                // The record stays, so that the rest can be undone.
                Err(_) => error.with_hint_prefix("A part of it is done; restore the rest with: rolecall import --undo"),
            })
        }
    }
}

/// Returns the conversions of the plan. `entry` gives the kubeconfig entry of a profile.
pub(super) fn conversions(plan: &Plan, entry: impl Fn(usize) -> Entry) -> Vec<Conversion> {
    let users = plan.users.iter();
    users
        .map(|user| Conversion { user: user.name.clone(), old: user.exec.clone(), entry: entry(user.profile) })
        .collect()
}

/// Adds a new profile to the draft. Returns the kubeconfig entry of the profile, with its key.
fn add_profile(profile: &PlannedProfile, config: &mut ConfigFile, context: &Context) -> Result<Entry, CliError> {
    let (name, target) = (profile.name.as_str(), &profile.target);
    if profile.is_new {
        let source = config.ensure_source(SourceEntry::AwsProfile(&target.aws_profile), None)?;
        let written = ProfileEntry {
            cluster: target.cluster.clone(),
            region: target.region.clone(),
            source,
            role_arn: target.role_arn.clone(),
            via: Vec::new(),
            external_id: target.external_id.clone(),
            session_name: target.session_name.clone(),
            duration: None,
            inputs: target.inputs.clone(),
            server: Some(target.server.url.clone()),
            ca_sha256: Some(target.server.ca_sha256.clone()),
        };
        config.set_profile(name, &written)?;
        config.set_given_ca(name, target.is_given.then_some(target.server.ca_data.as_str()));
        config.set_server_route(name, &target.route);
    }
    let key = config.entry_key_or_set(name, &new_entry_key()?);
    entry(&profile.name, &target.server, key, &context.environment)
}

/// Checks that the daemon accepts the new configuration, and that it is the one which the daemon uses.
fn check_with_daemon(config: &ConfigFile, path: &Path, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    config_status::check_daemon_config(&daemon, path, &context.environment)?;
    let checked = daemon.call_json::<ConfigChecked>(&Endpoint::ConfigCheck, config.text().as_bytes());
    checked.map(drop).map_err(|error| CliError::from(error).nothing_written())
}

fn import(plan: &Plan, path: &Path, config: &ConfigFile, old_sources: &[String], old_users: &[OldUser]) -> Import {
    let new_profiles = plan.profiles.iter().filter(|profile| profile.is_new).map(|profile| profile.name.as_str());
    let profiles = new_profiles.filter_map(|name| Some(Addition::new(name, &config.profile_text(name)?)));
    let new_sources = config.source_names().into_iter().filter(|name| !old_sources.contains(name));
    let sources = new_sources.filter_map(|name| Some(Addition::new(&name, &config.source_text(&name)?)));
    let contexts =
        |user: &str| plan.users.iter().find(|planned| planned.name == user).map(|user| user.contexts.clone());
    let users = old_users
        .iter()
        .map(|old| ConvertedUser { contexts: contexts(&old.user).unwrap_or_default(), old: old.clone() });
    Import {
        made: clock::now(),
        config: path.to_owned(),
        profiles: profiles.collect(),
        sources: sources.collect(),
        users: users.collect(),
    }
}

/// Removes the record of this import, of which nothing is left.
fn forget(records: &mut Records, error: CliError) -> CliError {
    records.imports.pop();
    match records.save() {
        Ok(()) => error.untouched(Untouched::NothingChanged),
        Err(second) => {
            output::print_error(&second);
            error.with_hint_prefix("Nothing else was changed")
        }
    }
}

/// Restores the configuration and the users that were converted.
fn roll_back(path: &Path, after: &str, before: &str, old_users: &[OldUser]) -> Result<(), CliError> {
    let users = kubeconfig::restore(old_users).map(drop).map_err(CliError::from);
    config_file::replace_text(path, after, before)?;
    users
}
