//! An error in a configuration and its place.

use std::path::{Path, PathBuf};

use rolecall_protocol::{ErrorBody, ErrorCode};

use super::schema::line_of;

/// An error in a configuration and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {}{message}", path.display(), at(*line), in_key(key.as_deref()))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key, for example `profiles.prod.region`.
    pub key: Option<String>,
    /// What is wrong, as a continuation of the key.
    pub message: String,
}

impl ConfigError {
    /// Returns an error of the text of a file, with the line of the key.
    pub(super) fn at_key(path: &Path, text: &str, key: String, message: String) -> Self {
        Self { path: path.to_owned(), line: line_of(text, &key), key: Some(key), message }
    }

    /// Returns an error of a file as a whole.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, key: None, message: message.into() }
    }

    /// Returns the error as the protocol sends it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let hint = if self.line.is_some() { "Correct that line." } else { "Correct the file." };
        ErrorBody::new(ErrorCode::ConfigInvalid, self.to_string()).hint(hint)
    }
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn in_key(key: Option<&str>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}
