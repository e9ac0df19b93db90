//! Opens files that only the user and root can change. Rolecall reads the files that decide what it runs and signs through
//! this crate: the configuration, AWS's own files, token files, CA bundles, and the program of a restart.
//!
//! The rules are those of sshd (`StrictModes` in sshd_config(5)), for each folder, symbolic link and file on the way:
//!
//! - its owner is the user or root;
//! - no other user can write it. A group may write it if it is the user's private group (umask 002). Other users may write a
//!   folder with the sticky bit, such as `/tmp`, where a user can replace only own files.
//!
//! Only the user and root can change a path that passes. It therefore still leads to the checked file when it is opened.

mod error;
mod owner;
mod private_group;
mod walk;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use error::{PartKind, TrustError, shell_quoted};
pub use walk::{Part, Walk};

/// Write permission for the group and for all other users.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The bit of a folder in which only the owner of an entry may rename or remove it.
const STICKY: u32 = 0o1000;

/// Who can replace a file, besides root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writers {
    /// Only root.
    Root,
    /// Also the user of this process, or a user that this user namespace does not know.
    User,
}

/// A file or folder that passed the checks.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The path without symbolic links.
    pub path: PathBuf,
    /// Who can replace it.
    pub writers: Writers,
    /// Its kind, owner and mode.
    pub metadata: Metadata,
}

/// Checks a file or folder and everything on the way to it.
///
/// # Errors
/// The first part that another user can change, or that cannot be inspected. [`TrustError::is_missing`] is true if the path does not
/// exist; the folders before the missing part passed.
pub fn check(path: &Path) -> Result<Checked, TrustError> {
    let mut writers = Writers::Root;
    let mut last = None;
    for part in Walk::new(path)? {
        let part = part?;
        writers = writers.max(check_part(&part.path, &part.metadata, part.is_in_sticky_folder)?);
        last = Some(part);
    }
    match last {
        Some(Part { path, metadata, .. }) => Ok(Checked { path, writers, metadata }),
        None => Err(TrustError::io(path, &io::ErrorKind::NotFound.into())),
    }
}

/// Opens a file to read it, with the checks of [`check`]. Opening does not wait for the other end of a pipe.
///
/// # Errors
/// Those of [`check`], and `NotRegular` for anything but a regular file.
pub fn open(path: &Path) -> Result<File, TrustError> {
    let checked = check(path)?;
    check_regular(&checked.path, &checked.metadata)?;
    let file = open_no_follow(&checked.path, OpenOptions::new().read(true));
    let opened = file.and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| TrustError::io(&checked.path, &error))?;
    check_regular(&checked.path, &metadata)?;
    check_part(&checked.path, &metadata, false)?;
    Ok(file)
}

/// Opens a file, but no symbolic link, and without waiting for the other end of a pipe.
///
/// # Errors
/// The error of the system.
pub fn open_no_follow(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits().cast_signed();
    options.custom_flags(flags).open(path)
}

/// Checks that a file or folder belongs to this user or root.
///
/// # Errors
/// `ForeignOwner`.
pub fn check_owner(path: &Path, metadata: &Metadata) -> Result<Writers, TrustError> {
    owner::check(path, metadata, false)
}

/// Checks that no other user can write a file or folder. The folders above it are not checked.
///
/// # Errors
/// `WritableByOthers`.
pub fn check_mode(path: &Path, metadata: &Metadata) -> Result<(), TrustError> {
    let mode = metadata.mode() & 0o7777;
    // A device such as /dev/null has no content that others could change.
    let can_change = metadata.is_file() || (metadata.is_dir() && mode & STICKY == 0);
    if !can_change || mode & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    if mode & 0o002 == 0 && private_group::is_writable_by_the_user_alone(path, metadata.gid()) {
        return Ok(());
    }
    Err(TrustError::WritableByOthers { path: path.to_owned(), kind: PartKind::of(metadata), mode })
}

/// Checks that a file is neither a folder nor a device, a socket or a pipe.
///
/// # Errors
/// `NotRegular`.
pub fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), TrustError> {
    let found = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link that changed while it was followed",
        _ => "a device, socket or pipe",
    };
    Err(TrustError::NotRegular { path: path.to_owned(), found })
}

fn check_part(path: &Path, metadata: &Metadata, is_in_sticky_folder: bool) -> Result<Writers, TrustError> {
    let owner = owner::check(path, metadata, is_in_sticky_folder)?;
    check_mode(path, metadata)?;
    // The user is a member of the group that may write.
    let is_writable_by_group = !metadata.is_symlink() && metadata.mode() & (STICKY | WRITABLE_BY_OTHERS) == 0o020;
    Ok(if is_writable_by_group { Writers::User } else { owner })
}

#[cfg(test)]
mod tests;
