//! Why a file is not trusted, and what the user does about it.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a file is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Other users can write it.
    #[error("other users can write {kind}{} (mode {mode:04o}), and so choose what Rolecall does", path.display())]
    WritableByOthers {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// What it is.
        kind: PartKind,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user, who chooses its content.
    #[error("{kind}{} belongs to another user (uid {uid})", path.display())]
    ForeignOwner {
        /// The file, or a folder or link on the way to it.
        path: PathBuf,
        /// What it is.
        kind: PartKind,
        /// Its owner.
        uid: u32,
    },
    /// It has no content of its own.
    #[error("{} is {found}, not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The file system returned an error.
    #[error("cannot look at {}: {}", path.display(), io::Error::from(*errno))]
    Io {
        /// The file, or a folder on the way to it.
        path: PathBuf,
        /// The error.
        errno: Errno,
    },
}

/// A part of a path. As text, it stands before the path: nothing for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

// === impl PartKind ===

impl PartKind {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        match metadata.file_type() {
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_symlink() => Self::Link,
            _ => Self::File,
        }
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "",
            Self::Folder => "the folder ",
            Self::Link => "the link ",
        })
    }
}

// === impl TrustError ===

impl TrustError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let errno = Errno::from_io_error(error).unwrap_or(match error.kind() {
            io::ErrorKind::NotFound => Errno::NOENT,
            _ => Errno::IO,
        });
        Self::Io { path: path.to_owned(), errno }
    }

    /// Whether the path does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { errno: Errno::NOENT, .. })
    }

    /// Returns the command that makes the file trusted, if a command alone does.
    #[must_use]
    pub fn fix_command(&self) -> Option<String> {
        match self {
            Self::WritableByOthers { path, .. } => Some(remove_write_permission(path)),
            Self::ForeignOwner { .. } | Self::NotRegular { .. } | Self::Io { .. } => None,
        }
    }

    /// Returns what the user does: a sentence with one command where there is one.
    #[must_use]
    pub fn advice(&self) -> String {
        let own = rustix::process::geteuid();
        match self {
            Self::WritableByOthers { path, .. } => format!("Fix it with: {}", remove_write_permission(path)),
            Self::ForeignOwner { kind: PartKind::Link, path, .. } => {
                format!("Replace it by a link of your own, or remove it: rm {}", shell_quoted(path))
            }
            Self::ForeignOwner { uid, .. } if own.is_root() => {
                format!("Rolecall runs as root: run it without sudo, as the user with uid {uid}.")
            }
            Self::ForeignOwner { path, .. } => {
                let (own, path) = (own.as_raw(), shell_quoted(path));
                format!("Name a file of your own; or, if you trust its content, run: sudo chown {own} {path}")
            }
            Self::NotRegular { .. } => "Move it out of the way, or name another file.".to_owned(),
            Self::Io { path, errno: Errno::ACCESS, .. } => {
                let folder = path.parent().unwrap_or(path);
                format!("Look at its permissions with: ls -ld {} {}", shell_quoted(folder), shell_quoted(path))
            }
            Self::Io { .. } => "Remove the cause and try again.".to_owned(),
        }
    }
}

/// Returns the command that takes the permission to write away from other users.
fn remove_write_permission(path: &Path) -> String {
    format!("chmod go-w {}", shell_quoted(path))
}

/// Returns a path as it is typed in a shell, in quotes if needed.
#[must_use]
pub fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%,:".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
