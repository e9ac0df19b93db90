//! Reads the user's files with a size limit and replaces them atomically.
//!
//! [`read`] returns an [`Original`]: the text, and the version of the file that was read. [`replace`] writes the new
//! text to a temporary file beside it, syncs it to disk, checks that the file on disk is still that version, and
//! renames. If a step fails, the old file is byte-identical and the temporary file is removed. Symbolic links are
//! resolved first, so that a dotfile manager's link stays a link. Extended attributes and ACLs are not copied.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::FileError;
use super::leftovers;
use super::names::{BACKUP_INFIX, TEMPORARY_SUFFIX, file_name, folder_of, with_affixes};
use crate::clock::{self, Deadline};
use crate::terminal::signals;

/// How many symbolic links are followed; the kernel has the same limit.
const MAX_LINKS: usize = 40;

/// A file as it was read. A missing file has an empty text.
#[derive(Debug)]
pub(crate) struct Original {
    /// The path, with symbolic links resolved.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    version: Option<FileVersion>,
}

/// Whether [`replace`] keeps the old text beside the file, as `<file>.rolecall-backup-<time>` with mode 0600. At most
/// five backups of a file are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backup {
    Keep,
    None,
}

/// A lock on a folder, for the one `rolecall` process that may edit its files. The kernel releases it when the process
/// ends.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held for its lock")] Option<File>);

/// What distinguishes two versions of a file. Any write changes at least one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
    owner: (u32, u32),
    links: u64,
}

/// Reads a file. A missing file gives an empty text.
///
/// # Errors
/// A [`FileError`] if the file is not a regular file, belongs to another user than this one or root, has more than
/// `max_bytes` bytes, or is not UTF-8.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Original, FileError> {
    let path = resolve(path)?;
    // Checked before it is opened, since opening a device can have effects.
    match fs::symlink_metadata(&path) {
        Ok(metadata) => check_regular(&path, &metadata)?,
        Err(e) if is_missing(&e) => return Ok(Original { path, text: String::new(), version: None }),
        Err(source) => return Err(FileError::Io { path, verb: "look at", source }),
    }
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits().cast_signed())
        .open(&path)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = opened.map_err(|source| FileError::Io { path: path.clone(), verb: "read", source })?;
    check_regular(&path, &metadata)?;
    let uid = metadata.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(FileError::ForeignOwner { path, uid });
    }
    let mut bytes = Vec::new();
    let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { path: path.clone(), verb: "read", source })?;
    if bytes.len() as u64 > max_bytes {
        return Err(FileError::TooLarge { path, max_bytes });
    }
    let Ok(text) = String::from_utf8(bytes) else { return Err(FileError::NotUtf8 { path }) };
    Ok(Original { path, text, version: Some(FileVersion::of(&metadata)) })
}

/// Replaces the file with `text`. Returns the path of the backup.
///
/// # Errors
/// `Changed` if the file on disk is no longer the version that was read, or another [`FileError`]. The file is
/// unchanged then.
pub(crate) fn replace(original: &Original, text: &str, backup: Backup) -> Result<Option<PathBuf>, FileError> {
    replace_with(original, backup, &|file| file.write_all(text.as_bytes()))
}

/// Returns the absolute path with symbolic links of the last component resolved.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    let fail = |source| FileError::Io { path: path.to_owned(), verb: "find", source };
    let mut here = std::path::absolute(path).map_err(fail)?;
    for _ in 0..MAX_LINKS {
        // Not a link, or missing. The later open reports an error if there is one.
        let Ok(target) = fs::read_link(&here) else { return Ok(here) };
        here = folder_of(&here).join(target);
    }
    Err(fail(rustix::io::Errno::LOOP.into()))
}

/// Creates a folder and its missing parents with mode 0700.
pub(crate) fn create_folder(folder: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| FileError::Io {
        path: folder.to_owned(),
        verb: "create the folder",
        source,
    })
}

/// Locks a folder against other `rolecall` processes. If the folder cannot be opened or its file system cannot lock
/// folders, the returned lock is empty; [`replace`] still detects changes of other processes.
///
/// # Errors
/// `Busy` if another process holds the lock for longer than `timeout`.
pub(crate) fn lock_folder(folder: &Path, timeout: Duration) -> Result<FolderLock, FileError> {
    let Ok(file) = File::open(folder) else { return Ok(FolderLock(None)) };
    let deadline = Deadline::after(timeout);
    let mut attempt = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(FolderLock(Some(file))),
            Err(fs::TryLockError::Error(_)) => return Ok(FolderLock(None)),
            Err(fs::TryLockError::WouldBlock) if deadline.sleep(clock::backoff(attempt)) => attempt += 1,
            Err(fs::TryLockError::WouldBlock) => {
                return Err(FileError::Busy { folder: folder.to_owned(), waited: timeout });
            }
        }
    }
}

// === impl Original ===

impl Original {
    /// Whether the file existed.
    pub(crate) fn exists(&self) -> bool {
        self.version.is_some()
    }

    /// Whether the file has a hard link, which keeps the old text when the file is replaced.
    pub(crate) fn has_other_names(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.links > 1)
    }

    /// Returns the permission bits, if the file existed.
    pub(crate) fn mode(&self) -> Option<u32> {
        self.version.as_ref().map(|version| version.mode)
    }

    /// Whether the file on disk is still the version that was read.
    pub(crate) fn is_current(&self) -> bool {
        let now = fs::symlink_metadata(&self.path).ok().map(|metadata| FileVersion::of(&metadata));
        now == self.version
    }

    fn io(&self, verb: &'static str) -> impl FnOnce(io::Error) -> FileError {
        let path = self.path.clone();
        move |source| FileError::Io { path, verb, source }
    }
}

// === impl FileVersion ===

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            links: metadata.nlink(),
        }
    }
}

/// [`replace`] with the write as an argument, so that tests can make it fail.
fn replace_with(
    original: &Original,
    backup: Backup,
    write: &dyn Fn(&mut File) -> io::Result<()>,
) -> Result<Option<PathBuf>, FileError> {
    let folder = folder_of(&original.path);
    match &original.version {
        Some(version) if version.mode & 0o200 == 0 => {
            return Err(FileError::WriteProtected { path: original.path.clone(), mode: version.mode });
        }
        Some(_) => {}
        None => create_folder(folder)?,
    }
    leftovers::remove_stale_temporaries(folder);
    // A signal takes effect only after the temporary file is renamed or removed.
    let _deferred = signals::defer_signals();
    // Mode 0600 and O_EXCL. Dropping it removes the file, unless it was renamed.
    let mut temporary = tempfile::Builder::new()
        .prefix(&with_affixes(".", file_name(&original.path), "."))
        .suffix(TEMPORARY_SUFFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(original.io("write beside"))?;
    write(temporary.as_file_mut()).map_err(original.io("write"))?;
    if let Some(version) = &original.version {
        copy_owner_and_mode(temporary.as_file(), version).map_err(original.io("keep the mode of"))?;
    }
    temporary.as_file().sync_all().map_err(original.io("write"))?;

    let backup_path = match backup {
        Backup::Keep if !original.text.is_empty() => Some(write_backup(original)?),
        Backup::Keep | Backup::None => None,
    };
    if let Err(error) = rename(temporary, original) {
        if let Some(path) = backup_path {
            drop(fs::remove_file(path));
        }
        return Err(error);
    }
    // The new file is in place. An error of syncing the folder is ignored: not every file system can do it.
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
    if backup_path.is_some() {
        leftovers::prune_backups(&original.path, backup_path.as_deref());
    }
    Ok(backup_path)
}

/// Renames the temporary file to the original's path. Errors with `Changed` if the file on disk is no longer the
/// version that was read.
fn rename(temporary: tempfile::NamedTempFile, original: &Original) -> Result<(), FileError> {
    let changed = || FileError::Changed { path: original.path.clone() };
    if !original.is_current() {
        return Err(changed());
    }
    let renamed = if original.exists() {
        temporary.persist(&original.path).map_err(|e| original.io("replace")(e.error))
    } else {
        temporary.persist_noclobber(&original.path).map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => changed(),
            _ => original.io("create")(e.error),
        })
    };
    renamed.map(drop)
}

/// Copies the owner and the mode of the old file to the new one. If the group cannot be set, the group gets no access.
fn copy_owner_and_mode(file: &File, old: &FileVersion) -> io::Result<()> {
    use rustix::fs::{Gid, Uid, fchown};
    let new = file.metadata()?;
    let (uid, gid) = old.owner;
    let mut mode = (old.mode & 0o777) | 0o600;
    if new.uid() != uid {
        // Only root may change the owner. Otherwise the file belongs to this user, as with any editor that renames.
        let _unchanged = fchown(file, Some(Uid::from_raw(uid)), None);
    }
    if new.gid() != gid && fchown(file, None, Some(Gid::from_raw(gid))).is_err() {
        mode &= !0o070;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Writes the old text beside the file, under a new name that has the time in it.
fn write_backup(original: &Original) -> Result<PathBuf, FileError> {
    let now = clock::now();
    let fail = |source| FileError::Io { path: original.path.clone(), verb: "back up", source };
    for microseconds in 0..1_000 {
        let time = now + Duration::from_micros(microseconds);
        let suffix = format!("{BACKUP_INFIX}{}", time.strftime("%Y%m%dT%H%M%S.%6fZ"));
        let path = folder_of(&original.path).join(with_affixes("", file_name(&original.path), &suffix));
        let mut file = match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(fail(e)),
        };
        let written = file.write_all(original.text.as_bytes()).and_then(|()| file.sync_all());
        return match written {
            Ok(()) => Ok(path),
            Err(e) => {
                drop(fs::remove_file(&path));
                Err(fail(e))
            }
        };
    }
    Err(fail(io::ErrorKind::AlreadyExists.into()))
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    let what = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link that changed while it was followed",
        _ => "a device, socket or pipe",
    };
    Err(FileError::NotRegular { path: path.to_owned(), what })
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests;
