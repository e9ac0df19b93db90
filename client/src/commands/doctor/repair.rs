//! `--fix`: makes the changes that are safe, and says what it did.

use std::fs::{Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rolecall_protocol::{Hint, ProfileName, location};
use rolecall_trusted_file::{self as trusted_file, shell_quoted};

use super::checked::Repair;
use super::facts::Facts;
use super::profiles::is_pinned;
use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::{Server, entry, files, print_notes};
use crate::kubeconfig::{self, Change, Removal};

/// How long `rolecall agent restart` may take: its own limits, one after the other.
const RESTART_TIMEOUT: Duration = Duration::from_secs(40);

/// Makes a change. Returns what was done as a sentence, or `None` if nothing was left to do.
pub(super) fn apply(repair: &Repair, facts: &Facts, context: &Context) -> Result<Option<String>, CliError> {
    match repair {
        Repair::RemovePermissions { path, bits } => remove_permissions(path, *bits).map(Some),
        Repair::RemoveEntries { profile } => remove_entries(profile, facts),
        Repair::WriteEntries { profile } => write_entries(profile, facts, context),
        Repair::RestartAgent => restart_agent().map(Some),
    }
}

/// Takes permissions away from a file, folder or socket of this user. Follows no link.
fn remove_permissions(path: &Path, bits: u32) -> Result<String, CliError> {
    let change = || -> io::Result<Permissions> {
        let own = |found: &Metadata| {
            if found.uid() != rustix::process::geteuid().as_raw() || found.is_symlink() {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
            Ok(Permissions::from_mode(found.mode() & 0o7777 & !bits))
        };
        let found = path.symlink_metadata()?;
        // A socket cannot be opened. Its folder is private.
        if found.file_type().is_socket() {
            let permissions = own(&found)?;
            std::fs::set_permissions(path, permissions.clone())?;
            return Ok(permissions);
        }
        let file = trusted_file::open_no_follow(path, OpenOptions::new().read(true))?;
        let permissions = own(&file.metadata()?)?;
        file.set_permissions(permissions.clone())?;
        Ok(permissions)
    };
    match change() {
        Ok(permissions) => Ok(format!("changed the mode of {} to {:04o}", display_path(path), permissions.mode())),
        Err(error) => Err(CliError::failed(
            format!("cannot change the mode of {}: {error}", path.display()),
            format!("Look at its owner: ls -ld {}", shell_quoted(path)),
        )),
    }
}

fn remove_entries(profile: &str, facts: &Facts) -> Result<Option<String>, CliError> {
    // `rolecall add` may have added the profile since the facts were read.
    for path in facts.config_path.iter().chain(&location::default_config().ok()) {
        if ConfigFile::load(path)?.profile_names().iter().any(|name| name == profile) {
            return Ok(None);
        }
    }
    let outcome = kubeconfig::remove(&files(None)?, &[profile])?;
    print_notes(&outcome.written.notes);
    let removed = outcome.profiles.iter().any(|(_, removal)| !matches!(removal, Removal::NotFound | Removal::NotOurs));
    let files: Vec<String> = outcome.written.files.iter().map(|file| display_path(file)).collect();
    Ok(removed
        .then(|| format!("removed the context {profile} from {}: there is no profile {profile}", files.join(", "))))
}

/// Writes the entries of a profile as `rolecall kubeconfig` does, with the cluster that they have, which is the pinned one.
fn write_entries(profile: &str, facts: &Facts, context: &Context) -> Result<Option<String>, CliError> {
    let Some(config) = &facts.config else { return Ok(None) };
    let files = files(None)?;
    let (Some(pinned), Some(installed)) = (config.profile(profile), kubeconfig::find(&files, profile)?) else {
        return Ok(None);
    };
    let server = installed.server.as_deref().zip(installed.certificate_authority_data.as_deref());
    let server = server.filter(|_| is_pinned(&pinned, &installed)).and_then(|(url, ca)| Server::from_data(url, ca));
    let (Some(server), Some(key), Ok(name)) = (server, config.entry_key(profile), profile.parse::<ProfileName>())
    else {
        return Ok(None);
    };
    let entry = entry(&name, &server, Some(key), &context.environment)?;
    let outcome = kubeconfig::upsert(&files, &[entry], None)?;
    print_notes(&outcome.written.notes);
    let is_written = |outcome: &kubeconfig::EntryOutcome| outcome.change != Change::Unchanged;
    Ok(outcome.entries.into_iter().find(is_written).map(|outcome| {
        format!("wrote the context {profile} in {} again, with its pinned cluster", display_path(&outcome.file))
    }))
}

/// Runs `rolecall agent restart`, which keeps the sessions where it can.
fn restart_agent() -> Result<String, CliError> {
    let failed = |cause: &str| {
        CliError::failed(format!("the agent did not restart: {cause}"), Hint::command("rolecall agent restart"))
    };
    let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["agent", "restart"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    match Deadline::after(RESTART_TIMEOUT).wait_for(&mut child) {
        Ok(Some(status)) if status.success() => Ok("restarted the agent".to_owned()),
        Ok(Some(_)) => Err(failed("it refused")),
        Ok(None) => Err(failed("no answer in time")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remove_permissions_keeps_the_others_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock.json");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let said = remove_permissions(&path, 0o022).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(said, format!("changed the mode of {} to 0644", path.display()));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(remove_permissions(&link, 0o044).is_err());
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o644);
    }
}
