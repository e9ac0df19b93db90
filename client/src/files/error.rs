//! Errors of reading and replacing a file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::join_sentences;
use rolecall_trusted_file::{TrustError, shell_quoted};

use super::names::folder_of;

/// How an error says that a command changed no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untouched {
    NothingWritten,
    NothingChanged,
    LeftAsItWas,
}

/// Why a file could not be read or replaced. The file on disk is unchanged, except with `HalfWritten`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot {verb} {}: {source}", path.display())]
    Io { path: PathBuf, verb: &'static str, source: io::Error },
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    #[error("{} is larger than {max_bytes} bytes", path.display())]
    TooLarge { path: PathBuf, max_bytes: u64 },
    #[error("{} is not UTF-8 text", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("{} is write-protected (mode {mode:04o})", path.display())]
    WriteProtected { path: PathBuf, mode: u32 },
    #[error("{} was changed by another program while it was being edited", path.display())]
    Changed { path: PathBuf },
    #[error("{} is incomplete: it cannot be replaced, and writing it failed: {source}", path.display())]
    HalfWritten { path: PathBuf, backup: PathBuf, source: io::Error },
    #[error("another rolecall has been editing files in {} for {} s", folder.display(), waited.as_secs())]
    Busy { folder: PathBuf, waited: Duration },
}

// === impl Untouched ===

impl Untouched {
    /// Returns the sentence.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Untouched::NothingWritten => "Nothing was written.",
            Untouched::NothingChanged => "Nothing was changed.",
            Untouched::LeftAsItWas => "It was left as it was.",
        }
    }
}

/// Returns the sentence that no file was changed, if there is one, and the advice.
pub(crate) fn with_untouched(untouched: Option<Untouched>, advice: &str) -> String {
    untouched.map_or_else(|| advice.to_owned(), |untouched| join_sentences(untouched.text(), Some(advice)))
}

// === impl FileError ===

impl FileError {
    /// Returns how the error says that the file is unchanged.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        match self {
            FileError::Untrusted(TrustError::NotRegular { .. })
            | FileError::Changed { .. }
            | FileError::HalfWritten { .. } => None,
            FileError::Io { .. }
            | FileError::Untrusted(_)
            | FileError::TooLarge { .. }
            | FileError::NotUtf8 { .. }
            | FileError::WriteProtected { .. }
            | FileError::Busy { .. } => Some(Untouched::NothingChanged),
        }
    }

    /// Returns what the user can do next.
    pub(crate) fn advice(&self) -> String {
        match self {
            FileError::Io { path, source, .. } => io_advice(path, source.kind()),
            FileError::Untrusted(error) => error.advice(),
            FileError::TooLarge { .. } => "Check that this is the file you mean.".to_owned(),
            FileError::NotUtf8 { path } => format!("Look at it with: file {}", path.display()),
            FileError::WriteProtected { path, .. } => {
                format!("To allow it: chmod u+w {}", path.display())
            }
            FileError::Changed { .. } => "Nothing was changed by Rolecall. Run the same command again.".to_owned(),
            FileError::HalfWritten { path, backup, .. } => {
                format!("Restore it with: cp {} {}", shell_quoted(backup), shell_quoted(path))
            }
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
        _ => "Fix that and run the command again.".to_owned(),
    }
}
