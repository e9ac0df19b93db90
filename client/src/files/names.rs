//! The names of backups and temporary files, and the folder of a file.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The part of a backup's name between the name of the file and the time.
pub(super) const BACKUP_INFIX: &str = ".rolecall-backup-";

/// The suffix of a temporary file, which replaces the file.
pub(super) const TEMPORARY_SUFFIX: &str = ".rolecall-tmp";

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn file_name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(OsStr::new("file"))
}

pub(super) fn with_affixes(before: &str, name: &OsStr, after: &str) -> OsString {
    let mut text = OsString::from(before);
    text.push(name);
    text.push(after);
    text
}
