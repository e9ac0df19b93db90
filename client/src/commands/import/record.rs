//! The imports that can be undone, in a file of the state folder: the former text of each converted user, and what was added to
//! the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::location;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::CliError;
use crate::files::atomic_file::{self, Backup, FolderLock, Original};
use crate::files::error::FileError;
use crate::files::names;
use crate::kubeconfig::OldUser;

/// The name of the file.
const FILE_NAME: &str = "imports.json";
/// The size limit of the file, in bytes.
const MAX_RECORD_BYTES: u64 = 64 * 1024 * 1024;
/// The version of the format.
const VERSION: u32 = 1;
/// How long to wait for another import.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// One import.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Import {
    pub(super) made: Timestamp,
    /// The configuration that has the profiles.
    pub(super) config: PathBuf,
    pub(super) profiles: Vec<Addition>,
    pub(super) sources: Vec<Addition>,
    pub(super) users: Vec<ConvertedUser>,
}

/// A profile or source that an import added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Addition {
    pub(super) name: String,
    /// The digest of its text in the configuration.
    sha256: String,
}

/// A converted user and the contexts that use it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ConvertedUser {
    pub(super) contexts: Vec<String>,
    pub(super) old: OldUser,
}

/// All imports, the oldest first. Nothing else changes the file while this exists.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) imports: Vec<Import>,
    path: PathBuf,
    original: Original,
    _lock: FolderLock,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    imports: Vec<Import>,
}

impl Addition {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), sha256: digest(text) }
    }

    /// Whether the profile or source still has the text that the import gave it.
    pub(super) fn is_unchanged(&self, text: &str) -> bool {
        self.sha256 == digest(text)
    }
}

fn digest(text: &str) -> String {
    // Another table may have moved in front of it.
    Sha256::digest(text.trim()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Records {
    /// Reads the file.
    pub(super) fn load() -> Result<Self, CliError> {
        Self::load_from(&location::state_folder()?.join(FILE_NAME))
    }

    fn load_from(path: &Path) -> Result<Self, CliError> {
        let folder = names::folder_of(path);
        let read = || {
            atomic_file::create_folder(folder)?;
            let lock = atomic_file::lock_folder(folder, LOCK_TIMEOUT)?;
            Ok((lock, atomic_file::read_trusted(path, MAX_RECORD_BYTES)?))
        };
        let (lock, original) = read().map_err(|error| file_error(&error))?;
        let imports = match original.text.as_str() {
            "" => Vec::new(),
            text => match serde_json::from_str::<File>(text) {
                Ok(file) if file.version == VERSION => file.imports,
                _ => {
                    let message = format!("{} is not a list of imports of this version", path.display());
                    return Err(CliError::failed(message, "Rename it; those imports can then not be undone"));
                }
            },
        };
        Ok(Self { imports, path: path.to_owned(), original, _lock: lock })
    }

    /// Writes the imports, with mode 0600.
    pub(super) fn save(&mut self) -> Result<(), CliError> {
        let file = File { version: VERSION, imports: self.imports.clone() };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| CliError::failed(format!("cannot record the import: {error}"), "Report it"))?;
        let replaced = atomic_file::replace(&self.original, &text, Backup::None);
        let read = replaced.and_then(|_| atomic_file::read_trusted(&self.path, MAX_RECORD_BYTES));
        self.original = read.map_err(|error| file_error(&error))?;
        Ok(())
    }
}

fn file_error(error: &FileError) -> CliError {
    CliError::failed(error.to_string(), error.advice()).untouched(error.untouched())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn records_are_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/imports.json");
        let mut records = Records::load_from(&path).unwrap();
        assert!(records.imports.is_empty());
        records.imports.push(Import {
            made: Timestamp::UNIX_EPOCH,
            config: PathBuf::from("/c"),
            profiles: vec![Addition::new("prod", "a = 1\n")],
            sources: Vec::new(),
            users: Vec::new(),
        });
        records.save().unwrap();
        records.save().unwrap();
        drop(records);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let records = Records::load_from(&path).unwrap();
        assert!(
            records.imports[0].profiles[0].is_unchanged("\na = 1")
                && !records.imports[0].profiles[0].is_unchanged("a = 2")
        );
        drop(records);
        std::fs::write(&path, "{\"version\": 2, \"imports\": []}").unwrap();
        assert!(Records::load_from(&path).unwrap_err().to_string().contains("imports.json"));
    }
}
