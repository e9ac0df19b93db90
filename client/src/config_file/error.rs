//! Why the configuration could not be read or edited.

use std::path::PathBuf;

use crate::files::error::{FileError, Untouched};

/// Why the configuration could not be read or edited. The file is unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}:{line}:{column}: {message}", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize, message: String },
    #[error("`{key}` in {} is not a table", path.display())]
    NotATable { path: PathBuf, key: String },
    #[error("`{key}` in {} is not an array", path.display())]
    NotAnArray { path: PathBuf, key: String },
    #[error("the {kind} {name} comes from {}, and Rolecall only reads included files", path.display())]
    Included { kind: &'static str, name: String, path: PathBuf },
}

impl ConfigFileError {
    /// Returns how the error says that the file is unchanged.
    pub(crate) fn untouched(&self) -> Option<Untouched> {
        match self {
            ConfigFileError::File(error) => error.untouched(),
            ConfigFileError::Included { .. } => Some(Untouched::NothingChanged),
            ConfigFileError::Malformed { .. }
            | ConfigFileError::NotATable { .. }
            | ConfigFileError::NotAnArray { .. } => Some(Untouched::LeftAsItWas),
        }
    }

    /// Returns what the user can do next.
    pub(crate) fn advice(&self) -> String {
        match self {
            ConfigFileError::File(error) => error.advice(),
            ConfigFileError::Malformed { .. } => "Fix that line and run the command again.".to_owned(),
            ConfigFileError::NotATable { key, .. } => {
                format!("Write it as [{key}.NAME]; see: man rolecall-config")
            }
            ConfigFileError::Included { kind: "profile", name, .. } => {
                format!(
                    "Change that file, or override the profile in your configuration: rolecall add {name} --replace"
                )
            }
            ConfigFileError::Included { .. } => "Change that file.".to_owned(),
            ConfigFileError::NotAnArray { key, .. } => {
                format!("Write it as {key} = [\"PATH\"]; see: man rolecall-config")
            }
        }
    }
}
