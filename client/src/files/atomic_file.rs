//! Reads the user's files with a size limit and replaces them atomically.
//!
//! [`read`] returns an [`Original`]: the text, and the version of the file that was read. [`replace`] writes the new
//! text to a temporary file beside it, syncs it to disk, checks that the file on disk is still that version, and
//! renames. If a step fails, the old file is byte-identical and the temporary file is removed. Symbolic links are
//! resolved first, so that a dotfile manager's link stays a link. Owner, mode, access control list and extended attributes
//! stay.
//!
//! A file that is a mount point, as in a container, cannot be replaced: `rename` fails with EBUSY. It is written in place
//! after its backup is on disk.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rolecall_trusted_file as trusted_file;

use super::encoding::{self, Encoding};
use super::error::FileError;
use super::names::{BACKUP_INFIX, TEMPORARY_SUFFIX, file_name, folder_of, with_affixes};
use super::{attributes, leftovers};
use crate::clock::{self, Deadline};
use crate::terminal::signals;

/// How many symbolic links are followed; the kernel has the same limit.
const MAX_LINKS: usize = 40;

/// How long writing a new file takes at most, in Rolecall and in any program that replaces a file.
const MAX_WRITE_TIME: Duration = Duration::from_millis(20);

/// A file as it was read. A missing file has an empty text.
#[derive(Debug)]
pub(crate) struct Original {
    /// The path, with symbolic links resolved.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    encoding: Encoding,
    version: Option<FileVersion>,
}

/// Whether [`replace`] keeps the old text beside the file, as `<file>.rolecall-backup-<time>` with mode 0600. At most
/// five backups of a file are kept: the first, and the others from different days if possible.
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
    modified: SystemTime,
    /// When the file was created; `None` if the file system does not record it.
    created: Option<SystemTime>,
    changed: (i64, i64),
    mode: u32,
    owner: (u32, u32),
    links: u64,
}

/// Reads a file in UTF-8. A missing file gives an empty text.
///
/// # Errors
/// A [`FileError`] if the file is not a regular file, belongs to another user than this one or root, has more than
/// `max_bytes` bytes, or is not UTF-8.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Original, FileError> {
    let original = read_unicode(path, max_bytes)?;
    if original.encoding != Encoding::Utf8 {
        return Err(FileError::NotUtf8 { path: original.path });
    }
    Ok(original)
}

/// Reads a file that decides what Rolecall does, with the checks of [`read`].
///
/// # Errors
/// Those of [`read`], and `Untrusted` if another user than root can change the file, or a folder or link on the way to it.
pub(crate) fn read_trusted(path: &Path, max_bytes: u64) -> Result<Original, FileError> {
    match trusted_file::check(path) {
        Err(error) if !error.is_missing() => Err(error.into()),
        // Missing folders are created by this process.
        _ => read(path, max_bytes),
    }
}

/// Reads a file in UTF-8, or in UTF-16 with a byte order mark, with the checks of [`read`]. [`replace`] keeps the encoding.
pub(crate) fn read_unicode(path: &Path, max_bytes: u64) -> Result<Original, FileError> {
    let path = resolve(path)?;
    // Checked before it is opened, since opening a device can have effects.
    match fs::symlink_metadata(&path) {
        Ok(metadata) => trusted_file::check_regular(&path, &metadata)?,
        Err(e) if is_missing(&e) => {
            return Ok(Original { path, text: String::new(), encoding: Encoding::Utf8, version: None });
        }
        Err(source) => return Err(FileError::Io { path, verb: "look at", source }),
    }
    let io = |source| FileError::Io { path: path.clone(), verb: "read", source };
    let (file, metadata) = open(&path, fs::OpenOptions::new().read(true)).map_err(io)?;
    trusted_file::check_regular(&path, &metadata)?;
    trusted_file::check_owner(&path, &metadata)?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max_bytes {
        return Err(FileError::TooLarge { path, max_bytes });
    }
    let Some((text, encoding)) = encoding::decode(bytes) else { return Err(FileError::NotUtf8 { path }) };
    Ok(Original { path, text, encoding, version: Some(FileVersion::of(&metadata)) })
}

fn open(path: &Path, options: &mut fs::OpenOptions) -> io::Result<(File, Metadata)> {
    let file = trusted_file::open_no_follow(path, options)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Replaces the file with `text`. Returns the path of the backup.
///
/// # Errors
/// `Changed` if the file on disk is no longer the version that was read, or another [`FileError`]. The file is
/// unchanged then.
pub(crate) fn replace(original: &Original, text: &str, backup: Backup) -> Result<Option<PathBuf>, FileError> {
    let bytes = original.encode(text);
    replace_with(original, backup, &|file| file.write_all(&bytes))
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
    /// Creates a file that is not on the disk.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_text(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), encoding: Encoding::Utf8, version: None }
    }

    /// Whether the file existed.
    pub(crate) fn exists(&self) -> bool {
        self.version.is_some()
    }

    /// Whether the file has a hard link, which keeps the old text when the file is replaced.
    pub(crate) fn has_other_names(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.links > 1)
    }

    /// Whether the file on disk is still the version that was read.
    pub(crate) fn is_current(&self) -> bool {
        let now = fs::symlink_metadata(&self.path).ok().map(|metadata| FileVersion::of(&metadata));
        now == self.version
    }

    /// Whether a program wrote into the file less than `limit` ago, rather than replace it as Rolecall does: then the file
    /// is older than its content.
    pub(crate) fn was_written_in_place(&self, limit: Duration) -> bool {
        let Some(FileVersion { created, modified, .. }) = &self.version else { return false };
        let now = SystemTime::from(clock::now());
        let is_recent = now.duration_since(*modified).map_or(true, |age| age < limit);
        is_recent
            && created.is_none_or(|created| modified.duration_since(created).is_ok_and(|age| age > MAX_WRITE_TIME))
    }

    /// Whether other users can write the file.
    pub(crate) fn is_writable_by_others(&self) -> bool {
        let metadata = self.exists().then(|| fs::symlink_metadata(&self.path).ok()).flatten();
        metadata.is_some_and(|metadata| trusted_file::check_mode(&self.path, &metadata).is_err())
    }

    /// Opens the file again. Errors with `Changed` if it is no longer the version that was read.
    fn reopen(&self, options: &mut fs::OpenOptions) -> Result<File, FileError> {
        let (file, metadata) = open(&self.path, options).map_err(self.io("open"))?;
        if Some(FileVersion::of(&metadata)) != self.version {
            return Err(FileError::Changed { path: self.path.clone() });
        }
        Ok(file)
    }

    /// Returns a text in the encoding of the file.
    pub(crate) fn encode(&self, text: &str) -> Vec<u8> {
        encoding::encode(text, self.encoding)
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
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            created: metadata.created().ok(),
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
    attributes::remove_inherited_acl(temporary.as_file()).map_err(original.io("write beside"))?;
    write(temporary.as_file_mut()).map_err(original.io("write"))?;
    if original.exists() {
        let copied =
            original.reopen(fs::OpenOptions::new().read(true)).map(|old| attributes::copy(&old, temporary.as_file()));
        copied?.map_err(original.io("keep the mode of"))?;
    }
    temporary.as_file().sync_all().map_err(original.io("write"))?;

    let mut backup_path = match backup {
        Backup::Keep if !original.text.is_empty() => Some(write_backup(original)?),
        Backup::Keep | Backup::None => None,
    };
    let replaced = match rename(temporary, original) {
        Err(FileError::Io { source, .. }) if is_mount_point(&source) => {
            write_in_place(original, &mut backup_path, write)
        }
        replaced => replaced,
    };
    match (&replaced, backup, &backup_path) {
        // The user needs this backup to restore the file.
        (Err(FileError::HalfWritten { .. }), ..) => {}
        (Err(_), _, Some(path)) | (Ok(()), Backup::None, Some(path)) => drop(fs::remove_file(path)),
        _ => {}
    }
    replaced?;
    // The new file is in place. An error of syncing the folder is ignored: not every file system can do it.
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
    if backup == Backup::None || backup_path.is_none() {
        return Ok(None);
    }
    leftovers::prune_backups(&original.path);
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

/// Whether `rename` failed because the file is a mount point.
fn is_mount_point(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::BUSY)
}

/// Writes into the existing file. The backup is written first if there is none yet. If the write fails, the old text is
/// written again.
fn write_in_place(
    original: &Original,
    backup: &mut Option<PathBuf>,
    write: &dyn Fn(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut file = original.reopen(fs::OpenOptions::new().write(true))?;
    let backup = match backup {
        Some(path) => path,
        None => backup.insert(write_backup(original)?),
    };
    let Err(source) = overwrite(&mut file, write) else { return Ok(()) };
    let old = original.encode(&original.text);
    match overwrite(&mut file, &|file| file.write_all(&old)) {
        Ok(()) => Err(original.io("write")(source)),
        Err(_) => Err(FileError::HalfWritten { path: original.path.clone(), backup: backup.clone(), source }),
    }
}

/// Replaces the content of an open file.
fn overwrite(file: &mut File, write: &dyn Fn(&mut File) -> io::Result<()>) -> io::Result<()> {
    file.rewind()?;
    write(file)?;
    let length = file.stream_position()?;
    file.set_len(length)?;
    file.sync_all()
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
        let written = attributes::remove_inherited_acl(&file)
            .and_then(|()| file.write_all(&original.encode(&original.text)))
            .and_then(|()| file.sync_all());
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

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests;
