//! Files of AWS's tools that hold the secrets of a login.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rolecall_protocol::Secret;

/// The largest file that is read, in bytes. The AWS CLI writes about 3,000.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// Reads a file to its end. Errors if it is larger than [`MAX_FILE_SIZE`].
#[allow(clippy::verbose_file_reads)] // reads at most MAX_FILE_SIZE
pub(crate) fn read(file: File) -> io::Result<Secret<Vec<u8>>> {
    let mut text = Secret::new(Vec::with_capacity(8 * 1024));
    file.take(MAX_FILE_SIZE + 1).read_to_end(text.expose_mut())?;
    if text.expose().len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other("the file is too large"));
    }
    Ok(text)
}

/// Replaces a file atomically, readable for the user alone.
pub(crate) fn replace(path: &Path, text: &Secret<Vec<u8>>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let permissions = Permissions::from_mode(0o600);
    let mut file = tempfile::Builder::new().permissions(permissions).suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.expose())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}
