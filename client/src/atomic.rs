//! Files that other people wrote and trust us with: read with a bound, replaced whole or not at all.
//!
//! A file is read into an [`Original`], which remembers exactly which version was read. [`replace`] writes the new text
//! beside it, makes it durable, checks that the version is still the one that was read, and renames. Whatever fails on
//! the way, the old file is byte-identical and nothing is left behind. Symbolic links are followed to the file they
//! name, so that a dotfile manager's link stays a link. Extended attributes and ACLs are not carried over.

mod leftovers;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::sentence;

use crate::clock::{self, Deadline};
use crate::signals;

/// What the name of a backup has after the name of the file, before the time.
const BACKUP_INFIX: &str = ".rolecall-backup-";

/// What the name of a new text ends with until it is put in place of the old one.
const TEMPORARY_SUFFIX: &str = ".rolecall-tmp";

/// How many links are followed from a file's name to the file: as many as the kernel does.
const MAX_LINKS: usize = 40;

/// A file as it was when it was read. A file that does not exist is empty.
#[derive(Debug)]
pub(crate) struct Original {
    /// Where the file really is: links followed.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    stamp: Option<Stamp>,
}

/// Whether the old text is kept beside the new one, as `<file>.rolecall-backup-<time>`, 0600, at most five of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backup {
    Keep,
    None,
}

/// The way in which an error says that a command changed no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untouched {
    NothingWritten,
    NothingChanged,
    LeftAsItWas,
}

/// Why a file could not be read or replaced. The file on disk is as it was; [`FileError::advice`] says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot {verb} {}: {source}", path.display())]
    Io { path: PathBuf, verb: &'static str, source: io::Error },
    #[error("{} is {what}, not a regular file", path.display())]
    NotRegular { path: PathBuf, what: &'static str },
    #[error("{} belongs to another user (uid {uid})", path.display())]
    ForeignOwner { path: PathBuf, uid: u32 },
    #[error("{} is larger than {cap} bytes", path.display())]
    TooLarge { path: PathBuf, cap: u64 },
    #[error("{} is not UTF-8 text", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("{} is write-protected (mode {mode:04o})", path.display())]
    WriteProtected { path: PathBuf, mode: u32 },
    #[error("{} was changed by another program while it was being edited", path.display())]
    Changed { path: PathBuf },
    #[error("another rolecall has been editing files in {} for {} s", folder.display(), waited.as_secs())]
    Busy { folder: PathBuf, waited: Duration },
}

/// One of us at a time edits the files of a folder. Released when dropped, and by the kernel when a process dies.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held for its lock")] Option<File>);

/// What tells one version of a file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
    owner: (u32, u32),
    links: u64,
}

/// Reads a file of at most `cap` bytes that belongs to us or to root. A missing file reads as an empty one.
pub(crate) fn read(path: &Path, cap: u64) -> Result<Original, FileError> {
    let path = resolve(path)?;
    // Looked at before it is opened, since merely opening a device can do something.
    match fs::symlink_metadata(&path) {
        Ok(metadata) => check_kind(&path, &metadata)?,
        Err(e) if is_missing(&e) => return Ok(Original { path, text: String::new(), stamp: None }),
        Err(source) => return Err(FileError::Io { path, verb: "look at", source }),
    }
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits().cast_signed())
        .open(&path)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = opened.map_err(|source| FileError::Io { path: path.clone(), verb: "read", source })?;
    check_kind(&path, &metadata)?;
    let uid = metadata.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(FileError::ForeignOwner { path, uid });
    }
    let mut bytes = Vec::new();
    let read = file.take(cap.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { path: path.clone(), verb: "read", source })?;
    if bytes.len() as u64 > cap {
        return Err(FileError::TooLarge { path, cap });
    }
    let Ok(text) = String::from_utf8(bytes) else { return Err(FileError::NotUtf8 { path }) };
    Ok(Original { path, text, stamp: Some(Stamp::of(&metadata)) })
}

/// Replaces the file by `text`, unless it is no longer the version that was read. Returns where the backup is.
pub(crate) fn replace(original: &Original, text: &str, backup: Backup) -> Result<Option<PathBuf>, FileError> {
    replace_with(original, backup, &|file| file.write_all(text.as_bytes()))
}

/// Where the file that `path` names really is: absolute, and with links of the last part followed.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    let fail = |source| FileError::Io { path: path.to_owned(), verb: "find", source };
    let mut here = std::path::absolute(path).map_err(fail)?;
    for _ in 0..MAX_LINKS {
        // Not a link, or not there: whoever opens it will hear why.
        let Ok(target) = fs::read_link(&here) else { return Ok(here) };
        here = folder_of(&here).join(target);
    }
    Err(fail(rustix::io::Errno::LOOP.into()))
}

/// Makes a folder and those above it that are missing, for us alone.
pub(crate) fn create_folder(folder: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| FileError::Io {
        path: folder.to_owned(),
        verb: "create the folder",
        source,
    })
}

/// Waits until no other rolecall edits files in this folder, for `wait` at most. A file system that cannot lock
/// folders, or a folder that cannot be opened, gives a lock that holds nothing: [`replace`] still notices a change.
pub(crate) fn lock_folder(folder: &Path, wait: Duration) -> Result<FolderLock, FileError> {
    let Ok(file) = File::open(folder) else { return Ok(FolderLock(None)) };
    let deadline = Deadline::after(wait);
    let mut attempt = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(FolderLock(Some(file))),
            Err(fs::TryLockError::Error(_)) => return Ok(FolderLock(None)),
            Err(fs::TryLockError::WouldBlock) if deadline.sleep(clock::pause(attempt)) => attempt += 1,
            Err(fs::TryLockError::WouldBlock) => {
                return Err(FileError::Busy { folder: folder.to_owned(), waited: wait });
            }
        }
    }
}

/// The folder a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

// === impl Original ===

impl Original {
    /// Whether there was a file.
    pub(crate) fn exists(&self) -> bool {
        self.stamp.is_some()
    }

    /// Whether the file has another name, a hard link, that will keep the old text.
    pub(crate) fn has_other_names(&self) -> bool {
        self.stamp.as_ref().is_some_and(|stamp| stamp.links > 1)
    }

    /// Whether the file on disk is still the version that was read.
    pub(crate) fn is_current(&self) -> bool {
        let now = fs::symlink_metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        now == self.stamp
    }

    fn io(&self, verb: &'static str) -> impl FnOnce(io::Error) -> FileError {
        let path = self.path.clone();
        move |source| FileError::Io { path, verb, source }
    }
}

// === impl Untouched ===

impl Untouched {
    /// The sentence for it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Untouched::NothingWritten => "Nothing was written.",
            Untouched::NothingChanged => "Nothing was changed.",
            Untouched::LeftAsItWas => "It was left as it was.",
        }
    }
}

/// Advice after the sentence that no file was changed, if there is one.
pub(crate) fn with_untouched(untouched: Option<Untouched>, advice: &str) -> String {
    untouched.map_or_else(|| advice.to_owned(), |untouched| sentence(untouched.text(), Some(advice)))
}

// === impl FileError ===

impl FileError {
    /// How the error says that the file is as it was.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        match self {
            FileError::Io { .. }
            | FileError::ForeignOwner { .. }
            | FileError::TooLarge { .. }
            | FileError::NotUtf8 { .. }
            | FileError::WriteProtected { .. }
            | FileError::Busy { .. } => Some(Untouched::NothingChanged),
            FileError::NotRegular { .. } | FileError::Changed { .. } => None,
        }
    }

    /// What the person who reads the error can do next.
    pub(crate) fn advice(&self) -> String {
        match self {
            FileError::Io { path, source, .. } => io_advice(path, source.kind()),
            FileError::NotRegular { .. } => "Move it out of the way, or name another file.".to_owned(),
            FileError::ForeignOwner { .. } => {
                "Run this as the owner of the file, or name a file of your own.".to_owned()
            }
            FileError::TooLarge { .. } => "Check that this is the file you mean.".to_owned(),
            FileError::NotUtf8 { path } => format!("Look at it with: file {}", path.display()),
            FileError::WriteProtected { path, .. } => {
                format!("To allow it: chmod u+w {}", path.display())
            }
            FileError::Changed { .. } => "Nothing was changed by Rolecall. Run the same command again.".to_owned(),
            FileError::Busy { .. } => {
                "See what it is doing with: pgrep -a rolecall; then run the command again.".to_owned()
            }
        }
    }
}

fn io_advice(path: &Path, kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Make room on that disk and run the command again.".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "It is on a read-only file system; if a dotfile manager wrote it, make the change there.".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("Check who may write there: ls -ld {} {}", folder_of(path).display(), path.display())
        }
        _ => "Mend that and run the command again.".to_owned(),
    }
}

// === impl Stamp ===

impl Stamp {
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

/// [`replace`], with the write itself as an argument: the seam where tests let the disk fail.
fn replace_with(
    original: &Original,
    backup: Backup,
    write: &dyn Fn(&mut File) -> io::Result<()>,
) -> Result<Option<PathBuf>, FileError> {
    let folder = folder_of(&original.path);
    match &original.stamp {
        Some(stamp) if stamp.mode & 0o200 == 0 => {
            return Err(FileError::WriteProtected { path: original.path.clone(), mode: stamp.mode });
        }
        Some(_) => {}
        None => create_folder(folder)?,
    }
    leftovers::sweep(folder);
    // Until the new text is in place, or gone again.
    let _whole = signals::defer();
    // 0600 and O_EXCL; removed again when dropped, unless it has been renamed.
    let mut temporary = tempfile::Builder::new()
        .prefix(&around(".", file_name(&original.path), "."))
        .suffix(TEMPORARY_SUFFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(original.io("write beside"))?;
    write(temporary.as_file_mut()).map_err(original.io("write"))?;
    if let Some(stamp) = &original.stamp {
        take_over(temporary.as_file(), stamp).map_err(original.io("keep the mode of"))?;
    }
    temporary.as_file().sync_all().map_err(original.io("write"))?;

    let kept = match backup {
        Backup::Keep if !original.text.is_empty() => Some(write_backup(original)?),
        Backup::Keep | Backup::None => None,
    };
    let renamed = if !original.is_current() {
        Err(FileError::Changed { path: original.path.clone() })
    } else if original.exists() {
        temporary.persist(&original.path).map_err(|e| original.io("replace")(e.error))
    } else {
        temporary.persist_noclobber(&original.path).map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Changed { path: original.path.clone() },
            _ => original.io("create")(e.error),
        })
    };
    if let Err(e) = renamed {
        // The backup of a change that was not made says nothing; the error that matters is the first one.
        if let Some(path) = kept {
            drop(fs::remove_file(path));
        }
        return Err(e);
    }
    // The new file is in place. Not every file system can sync a folder, and nothing could be undone here.
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
    if kept.is_some() {
        leftovers::prune_backups(&original.path, kept.as_deref());
    }
    Ok(kept)
}

/// Gives the new file the owner and the mode of the old one. A group that we may not give gets no rights instead.
fn take_over(file: &File, old: &Stamp) -> io::Result<()> {
    use rustix::fs::{Gid, Uid, fchown};
    let new = file.metadata()?;
    let (uid, gid) = old.owner;
    let mut mode = (old.mode & 0o777) | 0o600;
    if new.uid() != uid {
        // Only root may; otherwise the file becomes ours, as it would in any editor that renames.
        let _stays_ours = fchown(file, Some(Uid::from_raw(uid)), None);
    }
    if new.gid() != gid && fchown(file, None, Some(Gid::from_raw(gid))).is_err() {
        mode &= !0o070;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Writes the old text beside the file, under a name with the time in it that nothing else has.
fn write_backup(original: &Original) -> Result<PathBuf, FileError> {
    let now = clock::now();
    let fail = |source| FileError::Io { path: original.path.clone(), verb: "back up", source };
    for microseconds in 0..1_000 {
        let time = now + Duration::from_micros(microseconds);
        let suffix = format!("{BACKUP_INFIX}{}", time.strftime("%Y%m%dT%H%M%S.%6fZ"));
        let path = folder_of(&original.path).join(around("", file_name(&original.path), &suffix));
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

fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
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

fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(OsStr::new("file"))
}

fn around(before: &str, name: &OsStr, after: &str) -> OsString {
    let mut text = OsString::from(before);
    text.push(name);
    text.push(after);
    text
}

#[cfg(test)]
mod tests;
