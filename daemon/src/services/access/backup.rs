//! Backups of aws-auth: one file for each former state, in a folder for each cluster.
//!
//! A file is a ConfigMap as JSON, so that `kubectl replace -f` and `rolecall access lint` read it too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Backups that a cluster keeps: the first one, and the newest others.
const MAX_BACKUPS: usize = 20;
/// The size limit of a file, in bytes. A ConfigMap has at most 1 MiB, which JSON can double.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The end of a file's name.
const EXTENSION: &str = ".json";

/// The backups of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Backups {
    folder: PathBuf,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    /// There is no backup, or none of that name.
    #[error("there is no backup{}", .name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default())]
    NotFound {
        /// The name.
        name: Option<String>,
        /// The names of the existing backups, the oldest first.
        existing: Vec<String>,
    },
    /// The file cannot be read or trusted.
    #[error("backup {}: {reason}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Backups {
    /// Returns the backups of a cluster below the folder of all backups.
    pub(super) fn of_cluster(all: &Path, account: &str, region: &str, cluster: &str) -> Self {
        Self { folder: all.join(format!("{account}.{region}.{cluster}")) }
    }

    /// Returns the names, the oldest first.
    pub(super) fn names(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
        names.sort_unstable();
        names
    }

    /// Saves a state that was read at `now` and returns its file. If the newest backup has the same content, that one is
    /// returned. The file is on the disk when this returns.
    pub(super) fn save(&self, now: Timestamp, content: &[u8]) -> io::Result<PathBuf> {
        let names = self.names();
        if let Some(newest) = names.last()
            && self.read(Some(newest)).is_ok_and(|(_, same)| same == content)
        {
            return Ok(self.folder.join(newest));
        }
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".aws-auth.").tempfile_in(&self.folder)?; // mode 0600
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        // A second backup within one second, or a clock that was set back, must not replace another.
        let newest_time = names.last().and_then(|name| name.split(['-', '.']).next()).unwrap_or_default();
        let time = if newest_time > time.as_str() { newest_time.to_owned() } else { time };
        for number in 0..100 {
            let path = self.folder.join(format!("{time}-{number:02}{EXTENSION}"));
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    File::open(&self.folder)?.sync_all()?;
                    self.remove_old();
                    return Ok(path);
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
                Err(error) => return Err(error.error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Reads the backup of that name, or the newest one.
    pub(super) fn read(&self, name: Option<&str>) -> Result<(PathBuf, Vec<u8>), BackupError> {
        let mut names = self.names();
        let found = match name {
            Some(name) => names.iter().position(|other| other == name || other.strip_suffix(EXTENSION) == Some(name)),
            None => names.len().checked_sub(1),
        };
        let Some(found) = found else {
            return Err(BackupError::NotFound { name: name.map(str::to_owned), existing: names });
        };
        let path = self.folder.join(names.swap_remove(found));
        match read_own_file(&path) {
            Ok(content) => Ok((path, content)),
            Err(reason) => Err(BackupError::Unusable { path, reason }),
        }
    }

    /// Removes the oldest backups but the first one, until [`MAX_BACKUPS`] are left.
    fn remove_old(&self) {
        let names = self.names();
        let excess = names.len().saturating_sub(MAX_BACKUPS);
        for name in names.iter().skip(1).take(excess) {
            if let Err(error) = fs::remove_file(self.folder.join(name)) {
                tracing::warn!(name, %error, "old backup of aws-auth not removed");
            }
        }
    }
}

/// Whether a file is a backup: `20260102T030405Z-00.json`.
fn is_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(EXTENSION) else { return false };
    stem.len() == "20260102T030405Z-00".len()
        && stem.bytes().all(|byte| byte.is_ascii_digit() || b"TZ-".contains(&byte))
}

/// Reads a regular file of this user that no other user can write.
fn read_own_file(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a FIFO would block; with O_NONBLOCK it opens, and is rejected.
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits().cast_signed();
    let failed = |error: io::Error| format!("cannot read it: {error}");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err("other users can write it".to_owned());
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_BYTES { Err("it is too large".to_owned()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const START: &str = "2026-01-02T03:04:05Z";

    fn backups(folder: &tempfile::TempDir) -> Backups {
        Backups::of_cluster(folder.path(), "111122223333", "eu-west-1", "prod")
    }

    fn at(second: i64) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        Timestamp::from_second(start.as_second() + second).unwrap()
    }

    #[test]
    fn backup_is_private_and_read_by_name_or_as_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let backups = backups(&folder);
        assert!(matches!(backups.read(None), Err(BackupError::NotFound { name: None, .. })));
        let first = backups.save(at(0), b"one").unwrap();
        assert_eq!(first.file_name().unwrap(), "20260102T030405Z-00.json");
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(first.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        let second = backups.save(at(0), b"two").unwrap();
        assert_eq!(second.file_name().unwrap(), "20260102T030405Z-01.json");
        assert_eq!(backups.save(at(9), b"two").unwrap(), second, "the same content is kept once");
        assert_eq!(backups.read(None).unwrap(), (second, b"two".to_vec()));
        for name in ["20260102T030405Z-00.json", "20260102T030405Z-00"] {
            assert_eq!(backups.read(Some(name)).unwrap().1, b"one");
        }
        for name in ["", "../20260102T030405Z-00.json", "20260102T030406Z-00"] {
            let Err(BackupError::NotFound { existing, .. }) = backups.read(Some(name)) else { panic!("{name}") };
            assert_eq!(existing.len(), 2);
        }
    }

    #[test]
    fn backup_of_a_clock_that_was_set_back_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let backups = backups(&folder);
        backups.save(at(100), b"one").unwrap();
        backups.save(at(0), b"two").unwrap();
        assert_eq!(backups.read(None).unwrap().1, b"two");
    }

    #[test]
    fn old_backups_are_removed_but_the_first_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let backups = backups(&folder);
        for second in 0..30 {
            backups.save(at(second), second.to_string().as_bytes()).unwrap();
        }
        let names = backups.names();
        assert_eq!(names.len(), MAX_BACKUPS);
        assert_eq!(backups.read(Some(&names[0])).unwrap().1, b"0");
        assert_eq!(backups.read(Some(&names[1])).unwrap().1, b"11");
        assert_eq!(backups.read(None).unwrap().1, b"29");
        let left = fs::read_dir(&backups.folder).unwrap().count();
        assert_eq!(left, MAX_BACKUPS, "no temporary file remains");
    }

    #[test]
    fn backup_that_others_can_write_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let backups = backups(&folder);
        let path = backups.save(at(0), b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(backups.read(None).unwrap_err().to_string().contains("other users can write it"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(backups.read(None).unwrap_err().to_string().contains("not a regular file"));
    }
}
