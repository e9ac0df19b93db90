//! Passphrases: typed by the user, or piped in by a program, one a line.

use rolecall_protocol::{ErrorBody, ErrorCode, Secret};

use crate::error::CliError;
use crate::output;
use crate::terminal::prompt::{HiddenPrompt, no_input, read_stdin_line};

/// The shortest passphrase that is asked for, in bytes. The daemon checks again.
const MIN_PASSPHRASE_BYTES: usize = 8;
/// How often the user may mistype.
pub(crate) const MAX_ATTEMPTS: usize = 3;

/// Where passphrases come from.
pub(crate) enum Passphrases {
    /// The user types them on the terminal.
    Terminal(HiddenPrompt),
    /// A program gives them on standard input.
    StandardInput,
}

impl Passphrases {
    /// Standard input if `stdin`, otherwise the terminal. Errors without a terminal.
    pub(crate) fn find(stdin: bool) -> Result<Self, CliError> {
        if stdin {
            return Ok(Self::StandardInput);
        }
        let no_terminal = || {
            ErrorBody::new(ErrorCode::Locked, "there is no terminal to ask for a passphrase")
                .hint("Run it in a terminal, or with --stdin")
        };
        Ok(Self::Terminal(HiddenPrompt::open().ok_or_else(no_terminal)?))
    }

    /// Whether the user types them, and so can be asked again.
    pub(crate) const fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Asks for a passphrase.
    pub(crate) fn ask(&self, question: &str) -> Result<Secret<String>, CliError> {
        match self {
            Self::Terminal(prompt) => prompt.ask(question)?.ok_or_else(|| no_input("no passphrase was given")),
            Self::StandardInput => read_stdin_line()?.ok_or_else(|| no_input("standard input has too few lines")),
        }
    }

    /// Asks for a new passphrase. The user types it twice, until both are equal and long enough.
    pub(crate) fn ask_new(&self) -> Result<Secret<String>, CliError> {
        if !self.is_interactive() {
            return self.ask("");
        }
        for _ in 0..MAX_ATTEMPTS {
            let first = self.ask("New passphrase: ")?;
            if first.expose().len() < MIN_PASSPHRASE_BYTES {
                output::print_note(&format!(
                    "a passphrase needs at least {MIN_PASSPHRASE_BYTES} characters; several words are enough"
                ));
                continue;
            }
            if self.ask("Confirm passphrase: ")?.expose() == first.expose() {
                return Ok(first);
            }
            output::print_note("the passphrases differ");
        }
        Err(no_input("no passphrase was given"))
    }
}
