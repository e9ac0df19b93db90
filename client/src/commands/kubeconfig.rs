//! `rolecall kubeconfig`: writes or refreshes contexts, checks the pins, and gives each profile an entry key.

use rolecall_protocol::{Cluster, Endpoint, EntryKey, ProfileDetails, ProfileName, sanitize_for_terminal};

use crate::cli::Kubeconfig;
use crate::config_file::{self, ConfigFile, ProfileEntry};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{Server, entry, files, new_entry_key, print_notes};
use crate::kubeconfig::{self, Change, Entry, EntryOutcome};
use crate::output;

/// Describes every cluster whose API server was not given to `rolecall add`, then writes or prints the contexts of those
/// that were found. The exit code is that of the first error.
pub(crate) fn run(wanted: &Kubeconfig, context: &Context) -> Result<(), CliError> {
    let files = files(wanted.kubeconfig.as_deref())?;
    let daemon = context.daemon()?;
    let names = if wanted.all { config_status::profile_names(&daemon, &context.zone)? } else { wanted.names.clone() };
    let mut profiles = Vec::new();
    for name in &names {
        match daemon.call_json::<ProfileDetails>(&Endpoint::Profile(name.clone()), b"") {
            Ok(details) => profiles.push((name, details)),
            // Stops at an unknown name before any cluster is described.
            Err(error) if wanted.print || names.len() == 1 => return Err(error.into()),
            Err(error) => return Err(CliError::from(error).nothing_written()),
        }
    }
    let config = ConfigFile::load(&context.config_path()?)?;
    let mut found = Vec::new();
    let mut failed = None;
    for (name, details) in &profiles {
        let given = given_server(&config, name, details);
        let looked_up = given.map_or_else(
            || look_up(&daemon, name, details, wanted.repin),
            |server| given_lookup(name, server, details),
        );
        match looked_up {
            Ok(cluster) => found.push(cluster),
            Err(error) => {
                output::print_error(&error);
                failed.get_or_insert(error.code());
            }
        }
    }
    let (keys, is_stored) = store(&daemon, &found, context)?;
    let entries =
        found.iter().zip(keys).map(|(found, key)| entry(&found.name, &found.server, key, &context.environment));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    if wanted.print {
        if !entries.is_empty() {
            let current = match names.as_slice() {
                [name] => Some(name.as_str()),
                _ => None,
            };
            output::print(&kubeconfig::render(&entries, current)?)?;
        }
    } else if !found.is_empty() {
        let current = names.first().filter(|_| wanted.make_current).map(ProfileName::as_str);
        let outcome = kubeconfig::upsert(&files, &entries, current).map_err(|error| match is_stored {
            true => CliError::from(error).after_change("The configuration has the new pins and entry keys already"),
            false => error.into(),
        })?;
        print_notes(&outcome.written.notes);
        let lines = outcome.entries.iter().map(|entry| entry_line(entry, context));
        output::print(&lines.collect::<String>())?;
        if let Some(current) = current {
            context.print_done(&format!("{current} is your current context"))?;
        }
    }
    failed.map_or(Ok(()), |code| Err(CliError::silent(code)))
}

/// A profile and its cluster's server.
struct ClusterLookup {
    name: ProfileName,
    server: Server,
    /// Whether the profile comes from an included file.
    is_included: bool,
    /// Whether the configuration does not have this pin yet.
    is_new: bool,
    /// How the new pin differs from the old one.
    changes: Vec<PinChange>,
}

/// A part of the pin that AWS describes differently.
#[derive(Debug, PartialEq, Eq)]
struct PinChange {
    part: &'static str,
    pinned: String,
    found: String,
}

/// The API server that the user gave to `rolecall add`, if it is the one that the daemon's configuration has.
fn given_server(config: &ConfigFile, name: &ProfileName, details: &ProfileDetails) -> Option<Server> {
    let (url, ca_data) = config.given_server(name.as_str())?;
    Server::from_data(url, ca_data).filter(|server| details.server.as_ref() == Some(&server.url))
}

/// Uses a given API server. AWS is not asked: it would describe another one.
fn given_lookup(name: &ProfileName, server: Server, details: &ProfileDetails) -> Result<ClusterLookup, CliError> {
    if details.ca_sha256.as_ref().is_some_and(|pinned| !pinned.eq_ignore_ascii_case(&server.ca_sha256)) {
        return Err(CliError::failed(
            format!("{name}: certificate_authority_data in the configuration is not the pinned certificate authority"),
            format!(
                "Give both again: rolecall add {name} --replace --server URL --certificate-authority FILE, with its other options"
            ),
        ));
    }
    Ok(ClusterLookup {
        name: name.clone(),
        server,
        is_included: is_included(details),
        is_new: false,
        changes: Vec::new(),
    })
}

/// Describes the cluster at AWS. Errors if it differs from the pin, except with `repin`.
fn look_up(
    daemon: &Daemon,
    name: &ProfileName,
    details: &ProfileDetails,
    repin: bool,
) -> Result<ClusterLookup, CliError> {
    let cluster: Cluster = daemon.call_json(&Endpoint::Cluster(name.clone()), b"")?;
    let changes = pin_changes(details, &cluster);
    if !changes.is_empty() && !repin {
        let changes: Vec<String> = changes.iter().map(PinChange::difference).collect();
        return Err(CliError::failed(
            format!("{name}: AWS describes another cluster than the pinned one: {}", changes.join("; ")),
            format!("If the cluster was recreated, accept it: rolecall kubeconfig {name} --repin"),
        ));
    }
    let is_new = !changes.is_empty() || details.server.is_none() || details.ca_sha256.is_none();
    Ok(ClusterLookup {
        name: name.clone(),
        server: Server::from(&cluster),
        is_included: is_included(details),
        is_new,
        changes,
    })
}

fn is_included(details: &ProfileDetails) -> bool {
    details.status.included_from.is_some()
}

/// How a cluster differs from the pin. A pin that is not set does not differ.
fn pin_changes(details: &ProfileDetails, cluster: &Cluster) -> Vec<PinChange> {
    let change = |part, pinned: &Option<String>, found: &str| {
        let pinned = pinned.as_ref().filter(|pinned| !pinned.eq_ignore_ascii_case(found))?.clone();
        Some(PinChange { part, pinned, found: found.to_owned() })
    };
    let server = change("server", &details.server, &cluster.server);
    server.into_iter().chain(change("CA SHA-256", &details.ca_sha256, &cluster.ca_sha256)).collect()
}

impl PinChange {
    /// The change as a part of an error.
    fn difference(&self) -> String {
        format!("{} is {}, and {} is pinned", self.part, self.found, self.pinned)
    }
}

/// Stores new pins and missing entry keys in the configuration: those of a profile of an included file, which is not
/// changed, in `[included.NAME]`. Returns the entry key of each profile, and whether the configuration was changed.
fn store(
    daemon: &Daemon,
    found: &[ClusterLookup],
    context: &Context,
) -> Result<(Vec<Option<EntryKey>>, bool), CliError> {
    let path = context.config_path()?;
    let known = ConfigFile::load(&path)?;
    let keys: Vec<_> = found.iter().map(|found| known.entry_key(found.name.as_str())).collect();
    if keys.iter().all(Option::is_some) && !found.iter().any(|found| found.is_new) {
        return Ok((keys, false));
    }
    config_status::check_daemon_config(daemon, &path, &context.environment)?;
    let new_keys = found.iter().map(|_| new_entry_key()).collect::<Result<Vec<_>, _>>()?;
    let keys = config_file::edit(&path, |file| {
        let mut keys = Vec::with_capacity(found.len());
        for (found, new_key) in found.iter().zip(&new_keys) {
            let name = found.name.as_str();
            if let Some(entry) = file.profile(name).filter(|_| found.is_new) {
                let pinned = ProfileEntry {
                    server: Some(found.server.url.clone()),
                    ca_sha256: Some(found.server.ca_sha256.clone()),
                    ..entry
                };
                file.set_profile(name, &pinned)?;
            } else if found.is_included && file.profile(name).is_none() {
                let server = found.is_new.then_some((found.server.url.as_str(), found.server.ca_sha256.as_str()));
                file.set_included_server(name, server)?;
            }
            keys.push(file.entry_key_or_set(name, new_key));
        }
        Ok::<_, CliError>(keys)
    })?;
    for (found, change) in found.iter().flat_map(|found| found.changes.iter().map(move |change| (found, change))) {
        let PinChange { part, pinned, found: now } = change;
        output::print_note(&format!("{}: the pinned {part} was {pinned} and is now {now}", found.name));
    }
    Daemon::reload();
    Ok((keys, true))
}

fn entry_line(entry: &EntryOutcome, context: &Context) -> String {
    let (tick, name, file) = (context.screen.tick(), sanitize_for_terminal(&entry.context), display_path(&entry.file));
    match entry.change {
        Change::Added => format!("{tick} added context {name} to {file}\n"),
        Change::Updated => format!("{tick} updated context {name} in {file}\n"),
        Change::Unchanged => format!("{tick} context {name} in {file} is up to date\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(server: Option<&str>, ca_sha256: Option<&str>) -> ProfileDetails {
        serde_json::from_value(serde_json::json!({
            "name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work", "state": "unused",
            "source_kind": "AWS profile work", "hops": [], "duration_seconds": 3600,
            "server": server, "ca_sha256": ca_sha256,
        }))
        .unwrap()
    }

    #[test]
    fn pin_changes_absent_pin_is_none() {
        let cluster: Cluster = serde_json::from_value(serde_json::json!({
            "name": "prod", "region": "eu-west-1", "server": "https://a", "certificate_authority_data": "QQ==",
            "ca_sha256": "ab",
        }))
        .unwrap();
        let differing = |server, ca| {
            let changes = pin_changes(&details(server, ca), &cluster);
            changes.iter().map(PinChange::difference).collect::<Vec<_>>()
        };
        assert!(differing(None, None).is_empty());
        assert!(differing(Some("https://a"), Some("AB")).is_empty());
        assert_eq!(differing(Some("https://b"), Some("ab")), ["server is https://a, and https://b is pinned"]);
        assert_eq!(
            differing(Some("https://b"), Some("cd")),
            ["server is https://a, and https://b is pinned", "CA SHA-256 is ab, and cd is pinned"]
        );
    }
}
