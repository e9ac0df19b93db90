//! Removes surplus backups and the temporary files of crashed processes.

use std::collections::HashSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::names::{BACKUP_INFIX, TEMPORARY_SUFFIX, file_name, folder_of, with_affixes};
use crate::clock;

/// How many backups of a file are kept.
const MAX_BACKUPS: usize = 5;
/// The age from which a temporary file counts as left behind by a crash. Writing one takes milliseconds.
const STALE_AFTER: Duration = Duration::from_mins(10);

/// Removes backups beyond [`MAX_BACKUPS`]. The first one stays: it is the file before Rolecall changed it. Of the others,
/// the newest of each day stay before further ones of the same day. A backup that cannot be removed stays until the next
/// edit.
pub(super) fn prune_backups(path: &Path) {
    let prefix = with_affixes("", file_name(path), BACKUP_INFIX);
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut times: Vec<String> = names
        .filter_map(|name| {
            let time = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes())?;
            String::from_utf8(time.to_owned()).ok()
        })
        .collect();
    times.sort();
    for time in surplus(&times) {
        drop(fs::remove_file(folder_of(path).join(with_affixes("", &prefix, time))));
    }
}

/// Returns the times, of these sorted ones, whose backups are removed. The day is the part before the `T`.
fn surplus(times: &[String]) -> Vec<&str> {
    let Some((first, later)) = times.split_first() else { return Vec::new() };
    let day = |time: &str| time.split('T').next().map(str::to_owned);
    let mut days = HashSet::from([day(first)]);
    let newest_first = later.iter().rev().map(String::as_str);
    let is_newest = |time: &str| later.last().is_some_and(|newest| newest == time);
    let (of_new_days, others): (Vec<&str>, Vec<&str>) =
        newest_first.partition(|time| days.insert(day(time)) || is_newest(time));
    of_new_days.into_iter().chain(others).skip(MAX_BACKUPS - 1).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_keeps_the_first_and_one_of_each_day() {
        let removed = |times: &[&str]| {
            let times: Vec<String> = times.iter().map(|time| (*time).to_owned()).collect();
            let mut removed: Vec<String> = surplus(&times).into_iter().map(str::to_owned).collect();
            removed.sort();
            removed
        };
        assert!(removed(&[]).is_empty());
        assert!(removed(&["1T1", "1T2", "1T3", "1T4", "1T5"]).is_empty());
        // One day: the first and the four newest stay.
        assert_eq!(removed(&["1T1", "1T2", "1T3", "1T4", "1T5", "1T6", "1T7"]), ["1T2", "1T3"]);
        // The newest of each day stay before others of the same day.
        assert_eq!(removed(&["1T1", "2T1", "2T2", "3T1", "4T1", "4T2"]), ["2T1"]);
        assert_eq!(removed(&["1T1", "1T2", "2T1", "3T1", "4T1", "4T2", "4T3"]), ["1T2", "4T1"]);
        // More days than places: the newest days stay.
        assert_eq!(removed(&["1T1", "2T1", "3T1", "4T1", "5T1", "6T1", "7T1"]), ["2T1", "3T1"]);
    }
}
