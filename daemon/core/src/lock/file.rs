//! The lock file: the verifier of the passphrase and whether the agent is locked, so that a killed daemon starts locked.
//!
//! Without a file there is no passphrase. If the file is damaged, the daemon stays locked and names the file; the user
//! removes it. Removing it gives no access: a process that can remove it can read the user's other files as well, and a
//! locked daemon has no sessions.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::verifier::Verifier;

/// The version of the file format.
const FORMAT: u32 = 1;
/// The size limit of the file, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredLock {
    /// The verifier of the passphrase.
    pub(super) verifier: Verifier,
    /// Since when the agent is locked; `None` if it is unlocked.
    pub(super) locked: Option<Timestamp>,
}

/// The JSON of the file.
#[derive(Serialize, Deserialize)]
struct LockFile {
    format: u32,
    passphrase: String,
    #[serde(default)]
    locked: Option<Timestamp>,
}

/// Reads the file; returns `None` if it does not exist. Errors with the cause if the file is damaged or not trustworthy.
pub(super) fn read(path: &Path) -> Result<Option<StoredLock>, String> {
    let file = match rolecall_trusted_file::open(path) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        // Another user that can write it could choose the passphrase.
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > MAX_FILE_BYTES => return Err("it is too large".to_owned()),
        Ok(_) => {}
        Err(error) => return Err(format!("cannot read it: {error}")),
    }
    let broken = || "its contents are not valid".to_owned();
    let written: LockFile = serde_json::from_str(&text).map_err(|_| broken())?;
    if written.format != FORMAT {
        return Err(format!("its format is {}; this version reads format {FORMAT}", written.format));
    }
    let verifier = Verifier::parse(written.passphrase).ok_or_else(broken)?;
    Ok(Some(StoredLock { verifier, locked: written.locked }))
}

/// Replaces the file atomically, with mode 0600.
pub(super) fn write(path: &Path, kept: &StoredLock) -> io::Result<()> {
    replace(path, &text_of(kept)?)
}

/// Like [`write()`], and on a full disk in place: the text fits into the file's block. A crash of the system can then damage the
/// file, which locks the daemon. Without the fallback, a full disk would unlock a daemon that is killed.
pub(super) fn save(path: &Path, kept: &StoredLock) -> io::Result<()> {
    let text = text_of(kept)?;
    match replace(path, &text) {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            overwrite(path, &text).map_err(|_| error)
        }
        result => result,
    }
}

fn text_of(kept: &StoredLock) -> io::Result<Vec<u8>> {
    let written = LockFile { format: FORMAT, passphrase: kept.verifier.as_str().to_owned(), locked: kept.locked };
    let mut text = serde_json::to_vec(&written)?;
    text.push(b'\n');
    Ok(text)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    // One name: a daemon that is killed leaves one file, which the next write replaces. One daemon runs, and writes one at a time.
    let name = ".lock.json.new";
    match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = tempfile::Builder::new().prefix(name).rand_bytes(0).tempfile_in(folder)?; // mode 0600
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Overwrites a file that has a passphrase with a text of about the same length.
fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    if !matches!(read(path), Ok(Some(_))) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let file = rolecall_trusted_file::open_no_follow(path, OpenOptions::new().write(true))?;
    file.write_all_at(text, 0)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rolecall_protocol::Secret;

    use super::*;

    #[test]
    fn lock_file_written_is_read_and_damaged_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/lock.json");
        assert_eq!(read(&path), Ok(None));
        let verifier = Verifier::new(&Secret::new("correct horse".to_owned())).unwrap();
        for locked in [Some("2026-01-02T03:04:05Z".parse().unwrap()), None] {
            let kept = StoredLock { verifier: verifier.clone(), locked };
            write(&path, &kept).unwrap();
            assert_eq!(read(&path), Ok(Some(kept.clone())));
            fs::write(path.with_file_name(".lock.json.new"), "of a daemon that was killed").unwrap();
            // Over the text of the other state, which is longer or shorter.
            write(&path, &StoredLock { locked: kept.locked.xor(Some(Timestamp::UNIX_EPOCH)), ..kept.clone() }).unwrap();
            overwrite(&path, &text_of(&kept).unwrap()).unwrap();
            assert_eq!(read(&path), Ok(Some(kept)));
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file remains");

        let good = fs::read_to_string(&path).unwrap();
        let long = "x".repeat(5000);
        for (text, expected) in [
            ("", "not valid"),
            (&good[..good.len() / 2], "not valid"),
            (&good.replace("argon2id", "md5"), "not valid"),
            (&good.replace("\"format\":1", "\"format\":2"), "format is 2"),
            (&long, "too large"),
        ] {
            fs::write(&path, text).unwrap();
            assert!(overwrite(&path, good.as_bytes()).is_err());
            let error = read(&path).unwrap_err();
            assert!(error.contains(expected) && !error.contains('$'), "{error}");
        }
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
        assert!(read(&path).unwrap_err().contains("mode 0602"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read(&path).is_err());
    }
}
