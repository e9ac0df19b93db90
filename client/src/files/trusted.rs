//! Which files Rolecall obeys: those that only the user or root can change (sshd's StrictModes). A folder on the way to a
//! file counts too, since who can write a folder can replace the files in it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::error::FileError;

/// How many symbolic links are followed; the kernel has the same limit.
const MAX_LINKS: usize = 40;

/// The write bits of the group and of all other users.
const OTHERS_WRITE: u32 = 0o022;

/// The bit of a folder such as `/tmp`, in which a user can replace only own files.
const STICKY: u32 = 0o1000;

/// Checks the folders on the way to a file, from the root, through symbolic links.
///
/// # Errors
/// `ForeignOwner` or `WritableByOthers` for the first folder that another user than root can change.
pub(super) fn check_folders(path: &Path) -> Result<(), FileError> {
    let fail = |path: &Path, source| FileError::Io { path: path.to_owned(), verb: "look at", source };
    let path = std::path::absolute(path).map_err(|source| fail(path, source))?;
    let mut here = PathBuf::from("/");
    let mut ahead: Vec<PathBuf> = parts(&path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == Path::new("..") {
            here.pop();
            continue;
        }
        let folder = fs::symlink_metadata(&here).map_err(|source| fail(&here, source))?;
        check_folder(&here, &folder)?;
        let next = here.join(&part);
        let Ok(target) = fs::read_link(&next) else {
            // Missing folders are created by this process.
            if !next.exists() {
                return Ok(());
            }
            here = next;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(fail(&path, rustix::io::Errno::LOOP.into()));
        }
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(parts(&target));
    }
    Ok(())
}

/// Errors with `WritableByOthers` if another user can write a file or folder with this mode.
pub(super) fn check_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(FileError::WritableByOthers { path: path.to_owned(), mode: mode & 0o7777 })
}

/// Checks that a file or folder belongs to this user or root.
pub(super) fn check_owner(path: &Path, found: &Metadata) -> Result<(), FileError> {
    let uid = found.uid();
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(FileError::ForeignOwner { path: path.to_owned(), uid })
}

/// Errors with `NotRegular` for a folder, a device, a socket or a pipe.
pub(super) fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    let what = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link that changed while it was followed",
        _ => "a device, socket or pipe",
    };
    Err(FileError::NotRegular { path: path.to_owned(), what })
}

fn check_folder(path: &Path, folder: &Metadata) -> Result<(), FileError> {
    check_owner(path, folder)?;
    if folder.mode() & STICKY != 0 {
        return Ok(());
    }
    check_mode(path, folder.mode())
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    parts
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().into())
        .collect()
}
