//! An error for the user: a message, a hint and the exit code.

use std::fmt;

use rolecall_protocol::location::LocationError;
use rolecall_protocol::{ErrorBody, Hint, join_sentences, sanitize_for_terminal};

use crate::config_file::ConfigFileError;
use crate::files::error::Untouched;
use crate::kubeconfig::KubeconfigError;

/// The exit codes of the client. Scripts read them, so they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused or failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The daemon cannot be reached or started.
    Unreachable = 3,
    /// The client and the daemon do not speak the same protocol.
    Mismatch = 4,
    /// A bug of Rolecall.
    Bug = 70,
    /// The program of `shell` or `exec` cannot be executed, as in `env` and the shells.
    CannotExecute = 126,
    /// The program of `shell` or `exec` was not found, as in `env` and the shells.
    NotFound = 127,
}

/// An error for the user: one line on standard error and an exit code.
///
/// Control characters of both texts are escaped here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    code: u8,
    message: String,
    untouched: Option<Untouched>,
    hint: Option<Hint>,
}

impl CliError {
    /// An error with its hint. Each error of the client has one.
    pub(crate) fn new(exit: Exit, message: impl AsRef<str>, hint: impl Into<Hint>) -> Self {
        Self {
            code: exit as u8,
            message: sanitize_for_terminal(message.as_ref()),
            untouched: None,
            hint: Some(hint.into()),
        }
    }

    /// Refused or failed: the most common kind.
    pub(crate) fn failed(message: impl AsRef<str>, hint: impl Into<Hint>) -> Self {
        Self::new(Exit::Failed, message, hint)
    }

    /// A thread could not be started.
    #[allow(clippy::needless_pass_by_value)] // so that it fits `map_err`
    pub(crate) fn no_thread(error: std::io::Error) -> Self {
        Self::failed(format!("cannot start a thread: {error}"), "There may be too many processes")
    }

    /// The message was printed already; only the exit code is left.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, message: String::new(), untouched: None, hint: None }
    }

    /// Puts the subject in front of the message.
    #[must_use]
    pub(crate) fn with_subject(mut self, what: impl fmt::Display) -> Self {
        if !self.is_silent() {
            self.message = sanitize_for_terminal(&format!("{what}: {}", self.message));
        }
        self
    }

    /// Adds a sentence after the hint.
    #[must_use]
    pub(crate) fn with_hint_suffix(mut self, more: &str) -> Self {
        if !self.is_silent() {
            self.hint = Some(match self.hint {
                Some(hint) => join_sentences(&hint.to_string(), Some(more)).into(),
                None => more.into(),
            });
        }
        self
    }

    /// Replaces the hint.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<Hint>) -> Self {
        if self.is_silent() { self } else { Self { untouched: None, hint: Some(hint.into()), ..self } }
    }

    /// Adds a sentence before the hint, so that a command at the end of the line can be copied.
    #[must_use]
    pub(crate) fn with_hint_prefix(mut self, more: &str) -> Self {
        if !self.is_silent() {
            self.hint = Some(join_sentences(more, self.hint.as_ref()).into());
        }
        self
    }

    /// States before the hint that no file was changed, so that a command at the end of the line can be copied.
    /// Replaces an earlier statement of that kind.
    #[must_use]
    pub(crate) fn untouched(mut self, untouched: impl Into<Option<Untouched>>) -> Self {
        self.untouched = untouched.into();
        self
    }

    /// States that the command wrote no file, where the error was about one of them.
    #[must_use]
    pub(crate) fn nothing_written(self) -> Self {
        self.untouched(Untouched::NothingWritten)
    }

    /// States before the hint what the command has changed already. Replaces a statement that it changed nothing.
    #[must_use]
    pub(crate) fn after_change(self, changed: &str) -> Self {
        self.untouched(None).with_hint_prefix(changed)
    }

    /// Whether nothing is to be printed.
    pub(crate) const fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// The message without the hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What the user does next.
    pub(crate) const fn hint(&self) -> Option<&Hint> {
        self.hint.as_ref()
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let untouched = self.untouched.map(Untouched::text);
        f.write_str(&join_sentences(&join_sentences(&self.message, untouched), self.hint.as_ref()))
    }
}

impl From<ErrorBody> for CliError {
    /// Keeps the daemon's message and hint.
    fn from(body: ErrorBody) -> Self {
        let code = body.code.exit_code();
        let body = body.sanitized();
        let message = if body.message.is_empty() { "the agent refused without a reason".into() } else { body.message };
        Self { code, message, untouched: None, hint: body.hint }
    }
}

impl From<LocationError> for CliError {
    fn from(error: LocationError) -> Self {
        let (exit, hint) = match &error {
            LocationError::NoHome | LocationError::RelativeHome(_) => {
                (Exit::Failed, "Set HOME to the absolute path of your home folder")
            }
            LocationError::OtherHome(_) => (Exit::Failed, "Set the variable to an absolute path"),
            LocationError::NoCurrentFolder(_) => (Exit::Failed, "Run the command in another folder"),
            LocationError::Override(_) => {
                (Exit::Unreachable, "Unset ROLECALL_SOCKET, or set it to a short absolute path in a folder of your own")
            }
            LocationError::NoRuntimeFolder(_) => {
                (Exit::Unreachable, "Set XDG_RUNTIME_DIR to a folder of your own with mode 700")
            }
        };
        Self::new(exit, error.to_string(), hint)
    }
}

impl From<KubeconfigError> for CliError {
    fn from(error: KubeconfigError) -> Self {
        Self::failed(error.to_string(), error.advice()).untouched(error.untouched())
    }
}

impl From<ConfigFileError> for CliError {
    fn from(error: ConfigFileError) -> Self {
        Self::failed(error.to_string(), error.advice()).untouched(error.untouched())
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::ErrorCode;

    use super::*;

    #[test]
    fn display_is_one_line() {
        let error = CliError::failed("prod: it\nbroke", Hint::command("rolecall agent restart"));
        assert_eq!(error.to_string(), "prod: it broke. Run: rolecall agent restart");
        assert_eq!(error.with_subject("x").to_string(), "x: prod: it broke. Run: rolecall agent restart");
    }

    #[test]
    fn nothing_written_is_stated_once() {
        let result_text = |error: CliError| error.nothing_written().nothing_written().to_string();
        let bare = CliError { code: 1, message: "no".to_owned(), untouched: None, hint: None };
        assert_eq!(result_text(bare), "no. Nothing was written.");
        assert_eq!(result_text(CliError::failed("no", "Run: x")), "no. Nothing was written. Run: x");
        let left = CliError::failed("no", "Fix it.").untouched(Untouched::LeftAsItWas);
        assert_eq!(left.to_string(), "no. It was left as it was. Fix it.");
        assert_eq!(result_text(left), "no. Nothing was written. Fix it.");
        let locked = CliError::failed("no", "Remove the lock.").untouched(Untouched::NothingChanged);
        assert_eq!(result_text(locked), "no. Nothing was written. Remove the lock.");
        assert!(CliError::silent(1).nothing_written().is_silent());
    }

    #[test]
    fn with_hint_suffix_appends_a_sentence() {
        let bare = CliError { code: 1, message: "no".to_owned(), untouched: None, hint: None };
        assert_eq!(bare.clone().with_hint_suffix("More").to_string(), "no. More");
        assert_eq!(
            bare.with_hint_suffix("Fix that line.").with_hint_suffix("More").to_string(),
            "no. Fix that line. More"
        );
        assert_eq!(CliError::failed("no", "Run: x").with_hint(Hint::command("y")).to_string(), "no. Run: y");
        assert!(
            CliError::silent(1).with_hint_suffix("More").is_silent() && CliError::silent(1).with_hint("x").is_silent()
        );
        let bare = CliError { code: 1, message: "no".to_owned(), untouched: None, hint: None };
        assert_eq!(bare.clone().with_hint_prefix("It stays").to_string(), "no. It stays");
        assert_eq!(bare.with_hint_suffix("Run: x").with_hint_prefix("It stays").to_string(), "no. It stays. Run: x");
        assert!(CliError::silent(1).with_hint_prefix("It stays").is_silent());
    }

    /// Fault matrix row 39.
    #[test]
    fn daemon_error_control_characters_are_escaped() {
        let body = ErrorBody {
            code: ErrorCode::LoginNeeded,
            message: "a\u{1b}[2Jb".to_owned(),
            hint: Some(Hint::Text("c\r\nd\u{202e}".to_owned())),
            automatic_retry: false,
        };
        let error = CliError::from(body);
        assert_eq!(error.code(), 5);
        assert_eq!(error.to_string(), "a\\u{1b}[2Jb. c d\\u{202e}");
    }
}
