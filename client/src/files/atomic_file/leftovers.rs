//! What lies beside a file that was edited: backups beyond those that are kept, and what a crash left of a write.

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{BACKUP_INFIX, TEMPORARY_SUFFIX, file_name, folder_of, with_affixes};
use crate::clock;

/// How many backups of one file are kept.
const MAX_BACKUPS: usize = 5;
/// The age at which a new text that was never put in place is what a crash left: writing one takes milliseconds.
const STALE_AFTER: Duration = Duration::from_mins(10);

/// Removes the oldest backups beyond the number that is kept. One that cannot be removed is left for the next time.
pub(super) fn prune_backups(path: &Path, made_now: Option<&Path>) {
    let prefix = with_affixes("", file_name(path), BACKUP_INFIX);
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    let mut backups: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()))
        .map(|entry| entry.path())
        .filter(|backup| Some(backup.as_path()) != made_now)
        .collect();
    // The time in the name sorts as text does.
    backups.sort();
    let surplus = (backups.len() + usize::from(made_now.is_some())).saturating_sub(MAX_BACKUPS);
    for backup in backups.iter().take(surplus) {
        drop(fs::remove_file(backup));
    }
}

/// Removes what was to become a file of this folder when the process that wrote it was killed, or the machine lost its
/// power: it has the whole text of a kubeconfig. What cannot be removed is left for the next time.
pub(super) fn remove_stale_temporaries(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(is_temporary) {
        // Not followed: a link of that name is none of ours.
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
