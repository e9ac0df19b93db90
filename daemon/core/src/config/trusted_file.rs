//! Opens the configuration and files that it names, with the checks of `rolecall-trusted-file` and a size limit. An error
//! continues a sentence that begins with the path.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rolecall_protocol::MAX_CONFIG_BYTES;
use rolecall_trusted_file::TrustError;

/// Opens the file; returns `None` if it does not exist. Errors if it is not a regular file, is too large, or if another user than
/// root can change it or what leads to it.
pub(super) fn open(path: &Path) -> Result<Option<File>, String> {
    let file = match rolecall_trusted_file::open(path) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(describe(&error)),
    };
    match file.metadata() {
        Ok(metadata) if metadata.len() > MAX_CONFIG_BYTES as u64 => Err(too_large()),
        Ok(_) => Ok(Some(file)),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Reads a file that the configuration names, with the checks of [`open`].
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path)?.ok_or("does not exist")?;
    let mut bytes = Vec::new();
    match file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) if length > MAX_CONFIG_BYTES => Err(too_large()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(unreadable(&error)),
    }
}

fn describe(error: &TrustError) -> String {
    match error {
        TrustError::Io { errno, .. } => unreadable(&io::Error::from(*errno)),
        TrustError::NotRegular { found, .. } => format!("is {found}, not a regular file"),
        TrustError::WritableByOthers { .. } | TrustError::ForeignOwner { .. } => {
            format!("is not used: {error}. {}", error.advice())
        }
    }
}

pub(super) fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

pub(super) fn too_large() -> String {
    format!("is larger than {} MiB", MAX_CONFIG_BYTES >> 20)
}
