//! Edits Rolecall's own `config.toml` and keeps comments, order and spelling.
//!
//! The client changes only the profiles and sources, and only the keys that this module names. Commands ask the daemon
//! whether the new configuration is valid before they save it. [`edit`] reads the file again under a lock, so that
//! concurrent `rolecall add` processes do not lose each other's changes.

mod document;
mod error;
pub(crate) mod imported;
pub(crate) mod includes;
mod inputs;
mod profiles;
pub(crate) mod sources;
mod table;

use std::path::Path;
use std::time::Duration;

use rolecall_protocol::MAX_CONFIG_BYTES;

pub(crate) use document::{ConfigFile, NEW_FILE_HEADER};
pub(crate) use error::ConfigFileError;
pub(crate) use inputs::InputsEntry;
pub(crate) use profiles::ProfileEntry;

use crate::files::atomic_file::{self, Backup};
use crate::files::error::FileError;
use crate::files::names;

/// How long to wait for other `rolecall` processes. Each holds the lock for milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the file under the lock, applies `change`, and replaces the file if its text differs. Returns the result of
/// `change`.
///
/// # Errors
/// The error of `change`, or a [`ConfigFileError`] of reading or replacing the file. The file is unchanged then.
pub(crate) fn edit<T, E: From<ConfigFileError>>(
    path: &Path,
    change: impl FnOnce(&mut ConfigFile) -> Result<T, E>,
) -> Result<T, E> {
    let read = || {
        let resolved = atomic_file::resolve(path)?;
        atomic_file::create_folder(names::folder_of(&resolved))?;
        let lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
        let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
        Ok((lock, original))
    };
    let (_lock, original) = read().map_err(ConfigFileError::File)?;
    let mut file = ConfigFile::parse(path, &original.text)?;
    let result = change(&mut file)?;
    let text = file.text();
    if text == original.text {
        return Ok(result);
    }
    if text.len() as u64 > MAX_CONFIG_BYTES as u64 {
        return Err(ConfigFileError::File(FileError::TooLarge {
            path: path.to_owned(),
            max_bytes: MAX_CONFIG_BYTES as u64,
        })
        .into());
    }
    // The daemon rejects a file that does not parse.
    ConfigFile::parse(path, &text)?;
    atomic_file::replace(&original, &text, Backup::None).map_err(ConfigFileError::File)?;
    Ok(result)
}

/// Returns the text of the file, which is empty if there is no file.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigFileError> {
    Ok(atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?.text)
}

/// Replaces the whole text under the lock. Errors with `Changed` if the text is no longer `before`.
pub(crate) fn replace_text(path: &Path, before: &str, text: &str) -> Result<(), ConfigFileError> {
    let resolved = atomic_file::resolve(path)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
    if original.text != before {
        return Err(FileError::Changed { path: resolved }.into());
    }
    atomic_file::replace(&original, text, Backup::None)?;
    Ok(())
}

/// Writes a new file under the lock. Returns whether it did: a file that exists stays.
pub(crate) fn create(path: &Path, text: &str) -> Result<bool, ConfigFileError> {
    let resolved = atomic_file::resolve(path)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    let original = atomic_file::read_trusted(path, MAX_CONFIG_BYTES as u64)?;
    if original.exists() {
        return Ok(false);
    }
    atomic_file::replace(&original, text, Backup::None)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
