//! Opens files that decide whose credentials are used: only the user or root may be able to write them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;

/// Opens the file, if there is one.
pub(super) fn open(path: &Path) -> Result<Option<File>, String> {
    // A FIFO would block the open for ever; with O_NONBLOCK it opens, and the check below refuses it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    trusted(&file)?;
    Ok(Some(file))
}

/// Reads another file that the configuration names, with the same distrust.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path)?.ok_or("is not there")?;
    let mut bytes = Vec::new();
    match file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) if length > MAX_CONFIG_BYTES => Err(too_large()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Whoever can write the file can choose the role and the source, so nobody else may (F1; sshd's StrictModes).
fn trusted(file: &File) -> Result<(), String> {
    let found = file.metadata().map_err(|error| format!("cannot be looked at: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if found.uid() != own && found.uid() != 0 {
        return Err(format!("is owned by uid {}, not by you (uid {own})", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!("can be written by others (mode {:04o}); chmod go-w mends it", found.mode() & 0o7777));
    }
    if found.len() > MAX_CONFIG_BYTES as u64 {
        return Err(too_large());
    }
    Ok(())
}

pub(super) fn too_large() -> String {
    format!("is larger than {} MiB", MAX_CONFIG_BYTES >> 20)
}
