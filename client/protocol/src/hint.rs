//! What the user can do next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::sanitize_for_terminal;

/// What the user can do next, after an error or a finding. One line that is safe for a terminal.
///
/// In the JSON of an error it has two fields: `hint` is the text for the user, and `command` is the command without the words
/// before it. A text has no `command`, and older peers neither send nor read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub enum Hint {
    /// A command to run: `rolecall login partner`.
    Command(String),
    /// A sentence in the imperative: `Check the network.`
    Text(String),
}

/// The JSON of a [`Hint`].
#[derive(Serialize, Deserialize)]
struct Fields {
    hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl Hint {
    /// Creates a hint to run a command.
    pub fn command(command: impl AsRef<str>) -> Self {
        Self::Command(sanitize_for_terminal(command.as_ref()))
    }

    /// Creates a hint that is a sentence.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(sanitize_for_terminal(text.as_ref()))
    }

    /// Returns the command or the sentence, without the words before a command.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Command(text) | Self::Text(text) => text,
        }
    }

    /// Sanitizes the text again, for a hint that came from another process.
    #[must_use]
    pub fn sanitized(&self) -> Self {
        match self {
            Self::Command(command) => Self::command(command),
            Self::Text(text) => Self::text(text),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => write!(f, "Run: {command}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Hint {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<&String> for Hint {
    fn from(text: &String) -> Self {
        Self::text(text)
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&Self> for Hint {
    fn from(hint: &Self) -> Self {
        hint.clone()
    }
}

impl From<Fields> for Hint {
    fn from(fields: Fields) -> Self {
        fields.command.map_or(Self::Text(fields.hint), Self::Command)
    }
}

impl From<Hint> for Fields {
    fn from(hint: Hint) -> Self {
        let text = hint.to_string();
        match hint {
            Hint::Command(command) => Self { hint: text, command: Some(command) },
            Hint::Text(_) => Self { hint: text, command: None },
        }
    }
}
