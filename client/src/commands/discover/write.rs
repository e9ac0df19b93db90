//! Adds the chosen clusters: AWS profiles for new roles of IAM Identity Center, then sources and profiles, then kubeconfig
//! contexts.
//!
//! The kubeconfig is checked before the first write. If it cannot be written, the profiles are removed again.

use std::path::Path;

use rolecall_protocol::{Cluster, DescribedCluster, DiscoveredIdentity, EntryKey, ProfileName, SourceName, location};

use super::plan::NewCluster;
use super::view;
use crate::aws_config_file::permission_set::{PermissionSet, ensure_permission_set};
use crate::config_file::sources::SourceEntry;
use crate::config_file::{self, ConfigFile, InputsEntry, ProfileEntry};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::kubeconfig::context_entry::{Server, entry, new_entry_key, print_notes};
use crate::kubeconfig::{self, Entry, Files};
use crate::output;

/// A cluster that is added.
struct Added<'a> {
    new: &'a NewCluster,
    name: ProfileName,
    cluster: &'a Cluster,
}

/// Adds the clusters, and prints each.
pub(super) fn write(
    chosen: &[&NewCluster],
    path: &Path,
    files: &Files,
    daemon: &Daemon,
    context: &Context,
) -> Result<(), CliError> {
    let added: Vec<Added<'_>> = chosen.iter().filter_map(|new| Added::of(new)).collect();
    config_status::check_daemon_config(daemon, path, &context.environment).map_err(CliError::nothing_written)?;
    let entries = added
        .iter()
        .map(|added| entry(&added.name, &Server::from(added.cluster), None, &context.environment))
        .collect::<Result<Vec<Entry>, CliError>>()
        .map_err(CliError::nothing_written)?;
    kubeconfig::check_upsert(files, &entries).map_err(|error| CliError::from(error).nothing_written())?;
    let aws_profiles = added.iter().map(Added::aws_profile).collect::<Result<Vec<_>, _>>()?;
    let keys = write_config(&added, &aws_profiles, path)?;
    let entries: Vec<Entry> = entries.into_iter().zip(keys).map(|(entry, key)| Entry { key, ..entry }).collect();
    match kubeconfig::upsert(files, &entries, None) {
        Ok(outcome) => print_notes(&outcome.written.notes),
        Err(error) => return Err(roll_back(&added, path, &error.into())),
    }
    Daemon::reload();
    let lines: String = added.iter().map(|added| view::added(added.new, context)).collect();
    output::print(&lines)?;
    match added.as_slice() {
        [first, ..] => output::print(&format!("  try: kubectl --context {} get pods\n", first.name)),
        [] => Ok(()),
    }
}

impl<'a> Added<'a> {
    /// `None` if the API server is not known.
    fn of(new: &'a NewCluster) -> Option<Self> {
        let DescribedCluster::Cluster(cluster) = &new.found.described else { return None };
        Some(Self { new, name: new.profile.parse().ok()?, cluster })
    }

    /// Returns the AWS profile of the credentials, and adds it if they are of a role of IAM Identity Center without one. `None` if
    /// the source is configured.
    fn aws_profile(&self) -> Result<Option<String>, CliError> {
        Ok(match &self.new.found.identity {
            DiscoveredIdentity::AwsProfile { aws_profile } => Some(aws_profile.clone()),
            DiscoveredIdentity::PermissionSet { sso_session, account, account_name, role_name } => {
                let (config, credentials) = location::aws_files()?;
                let region = &self.new.found.region;
                let wanted = PermissionSet { sso_session, account, account_name, role_name, region };
                Some(ensure_permission_set(&wanted, &config, &credentials)?)
            }
            _ => None,
        })
    }

    fn source(&self, aws_profile: Option<&str>, file: &mut ConfigFile) -> Result<SourceName, CliError> {
        match (&self.new.found.identity, aws_profile) {
            (DiscoveredIdentity::Source { source }, _) => Ok(source.clone()),
            (_, Some(profile)) => Ok(file.ensure_source(SourceEntry::AwsProfile(profile), None)?),
            (_, None) => {
                let message = "the agent found a cluster with credentials of a kind that is not known";
                Err(CliError::failed(message, "Upgrade rolecall").nothing_written())
            }
        }
    }
}

/// Writes the profiles. Returns the entry key of each.
fn write_config(
    added: &[Added<'_>],
    aws_profiles: &[Option<String>],
    path: &Path,
) -> Result<Vec<Option<EntryKey>>, CliError> {
    let new_keys = added.iter().map(|_| new_entry_key()).collect::<Result<Vec<_>, _>>()?;
    config_file::edit(path, |file| {
        let mut keys = Vec::with_capacity(added.len());
        for ((added, aws_profile), new_key) in added.iter().zip(aws_profiles).zip(&new_keys) {
            let name = added.name.as_str();
            if file.profile_names().iter().any(|known| known == name) {
                let message = format!("there is a profile {name} since the search began");
                return Err(CliError::failed(message, "Search again: rolecall discover").nothing_written());
            }
            let profile = ProfileEntry {
                cluster: added.cluster.name.clone(),
                region: added.cluster.region.clone(),
                source: added.source(aws_profile.as_deref(), file)?,
                role_arn: None,
                via: Vec::new(),
                external_id: None,
                session_name: None,
                duration: None,
                inputs: InputsEntry::default(),
                server: Some(added.cluster.server.clone()),
                ca_sha256: Some(added.cluster.ca_sha256.clone()),
            };
            file.set_profile(name, &profile)?;
            keys.push(file.entry_key_or_set(name, new_key));
        }
        Ok(keys)
    })
}

/// Removes the profiles after the kubeconfig could not be written. Returns the error for the user.
fn roll_back(added: &[Added<'_>], path: &Path, error: &CliError) -> CliError {
    let removed = config_file::edit(path, |file| {
        for added in added {
            file.remove_profile(added.name.as_str());
        }
        Ok::<(), CliError>(())
    });
    Daemon::reload();
    let hint = if removed.is_ok() { "The new profiles were removed again" } else { "The new profiles stay" };
    CliError::failed(error.to_string(), hint)
}
