//! The names of files: of the folder a file is in, and of what is written beside it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What the name of a backup has after the name of the file, before the time.
pub(super) const BACKUP_INFIX: &str = ".rolecall-backup-";

/// What the name of a new text ends with until it is put in place of the old one.
pub(super) const TEMPORARY_SUFFIX: &str = ".rolecall-tmp";

/// The folder a file is in.
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
