//! Opens files that decide whose credentials are used: only the user or root may be able to write them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;

/// Opens the file; returns `None` if it does not exist. Errors if it is not a regular file, belongs to another user than
/// this one or root, is writable by others, or is too large.
pub(super) fn open(path: &Path) -> Result<Option<File>, String> {
    // Opening a FIFO would block; with O_NONBLOCK it opens, and `check` rejects it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    check(&file)?;
    Ok(Some(file))
}

/// Reads a file that the configuration names, with the checks of [`open`].
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path)?.ok_or("does not exist")?;
    let mut bytes = Vec::new();
    match file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) if length > MAX_CONFIG_BYTES => Err(too_large()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Rejects a file that another user can write: that user could choose the role and the source (F1; sshd's StrictModes).
fn check(file: &File) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| format!("cannot be inspected: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.uid() != own && metadata.uid() != 0 {
        return Err(format!("is owned by uid {}, not by you (uid {own})", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!(
            "is unsafe: other users can write it (mode {:04o}); fix it with chmod go-w",
            metadata.mode() & 0o7777
        ));
    }
    if metadata.len() > MAX_CONFIG_BYTES as u64 {
        return Err(too_large());
    }
    Ok(())
}

pub(super) fn too_large() -> String {
    format!("is larger than {} MiB", MAX_CONFIG_BYTES >> 20)
}
