//! What of the lock is kept, so that a daemon that was killed comes back locked.
//!
//! No file is no passphrase. A file that cannot be understood is no reason to serve as if there had never been one: the daemon
//! stays locked, says which file it is, and whoever it belongs to removes it. That is no hole: who can do that can read this
//! user's other files as well, and the sessions are gone either way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::verifier::Verifier;

/// The shape below.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredLock {
    /// Tells the passphrase.
    pub(super) verifier: Verifier,
    /// Since when it is locked, if it is.
    pub(super) locked: Option<Timestamp>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct LockFile {
    format: u32,
    passphrase: String,
    #[serde(default)]
    locked: Option<Timestamp>,
}

/// Reads the file, if there is one. An error says what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Option<StoredLock>, String> {
    // A FIFO would block the open for ever; with O_NONBLOCK it opens, and the check below refuses it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    check(&file)?;
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > MAX_FILE_BYTES => return Err("it is too large".to_owned()),
        Ok(_) => {}
        Err(error) => return Err(format!("it cannot be read: {error}")),
    }
    let broken = || "it is not what was written into it".to_owned();
    let written: LockFile = serde_json::from_str(&text).map_err(|_| broken())?;
    if written.format != FORMAT {
        return Err(format!("it has format {}, and this version knows format {FORMAT}", written.format));
    }
    let verifier = Verifier::parse(written.passphrase).ok_or_else(broken)?;
    Ok(Some(StoredLock { verifier, locked: written.locked }))
}

/// Whoever else can write it could choose the passphrase.
fn check(file: &File) -> Result<(), String> {
    let found = file.metadata().map_err(|error| format!("it cannot be looked at: {error}"))?;
    match () {
        () if !found.is_file() => Err("it is no file".to_owned()),
        () if found.uid() != rustix::process::geteuid().as_raw() => Err(format!("it is of uid {}", found.uid())),
        () if found.mode() & 0o022 != 0 => Err(format!("others may write it (mode {:04o})", found.mode() & 0o777)),
        () => Ok(()),
    }
}

/// Replaces the file, whole or not at all, for us alone to read.
pub(super) fn write(path: &Path, kept: &StoredLock) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    let written = LockFile { format: FORMAT, passphrase: kept.verifier.as_str().to_owned(), locked: kept.locked };
    let mut file = tempfile::Builder::new().prefix(".lock.json.").tempfile_in(folder)?; // mode 0600
    serde_json::to_writer(&mut file, &written)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rolecall_protocol::Secret;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_was_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/lock.json");
        assert_eq!(read(&path), Ok(None));
        let verifier = Verifier::new(&Secret::new("correct horse".to_owned())).unwrap();
        for locked in [Some("2026-01-02T03:04:05Z".parse().unwrap()), None] {
            let kept = StoredLock { verifier: verifier.clone(), locked };
            write(&path, &kept).unwrap();
            assert_eq!(read(&path), Ok(Some(kept)));
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing lies beside it");

        let good = fs::read_to_string(&path).unwrap();
        let long = "x".repeat(5000);
        for (text, said) in [
            ("", "not what was written"),
            (&good[..good.len() / 2], "not what was written"),
            (&good.replace("argon2id", "md5"), "not what was written"),
            (&good.replace("\"format\":1", "\"format\":2"), "format 2"),
            (&long, "too large"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains(said) && !error.contains('$'), "{error}");
        }
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(read(&path).unwrap_err().contains("mode 0620"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read(&path).is_err());
    }
}
