//! Removes surplus backups and the temporary files of crashed processes.

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::names::{BACKUP_INFIX, TEMPORARY_SUFFIX, file_name, folder_of, with_affixes};
use crate::clock;

/// How many backups of a file are kept.
const MAX_BACKUPS: usize = 5;
/// The age from which a temporary file counts as left behind by a crash. Writing one takes milliseconds.
const STALE_AFTER: Duration = Duration::from_mins(10);

/// Removes the oldest backups beyond [`MAX_BACKUPS`]. A backup that cannot be removed stays until the next edit.
pub(super) fn prune_backups(path: &Path, made_now: Option<&Path>) {
    let prefix = with_affixes("", file_name(path), BACKUP_INFIX);
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    let mut backups: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()))
        .map(|entry| entry.path())
        .filter(|backup| Some(backup.as_path()) != made_now)
        .collect();
    // Names sort by the time in them.
    backups.sort();
    let surplus = (backups.len() + usize::from(made_now.is_some())).saturating_sub(MAX_BACKUPS);
    for backup in backups.iter().take(surplus) {
        drop(fs::remove_file(backup));
    }
}

/// Removes temporary files of processes that crashed, since they have the whole text of a kubeconfig. A file that
/// cannot be removed stays until the next edit.
pub(super) fn remove_stale_temporaries(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(is_temporary) {
        // A symbolic link is not followed: Rolecall creates none.
        if fs::symlink_metadata(entry.path()).is_ok_and(|metadata| is_stale(&metadata)) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn is_temporary(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(TEMPORARY_SUFFIX.as_bytes())
}

fn is_stale(metadata: &Metadata) -> bool {
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let age = metadata.modified().ok().and_then(|made| SystemTime::from(clock::now()).duration_since(made).ok());
    metadata.is_file() && is_ours && age.is_some_and(|age| age >= STALE_AFTER)
}
