//! Lines that the user types or a program pipes in: visible on the terminal, hidden on the terminal, or from standard
//! input.
//!
//! While input is hidden, a signal first restores the terminal's echo. Ctrl-C then ends the program with exit status
//! 130 in a shell. Whenever the program continues after a stop (Ctrl-Z, `kill -STOP`, and then `fg`), the input is
//! hidden again, since the shell has shown it meanwhile, and the question is printed again.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::signal::Signal;
use rolecall_protocol::Secret;
use rustix::termios::{LocalModes, Termios};

use crate::clock::Deadline;
use crate::error::CliError;
use crate::files::error::Untouched;
use crate::terminal::signals;
use crate::terminal::tty::{Tty, TypedLine};

/// The longest secret line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// Signals that end or stop the program, which must not leave the terminal without echo, and the one that continues it.
const HANDLED_SIGNALS: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGCONT];

/// Asks a question on the terminal; the typed line is visible.
pub(crate) fn ask(tty: &Tty, question: &str, deadline: Option<Deadline>) -> TypedLine {
    tty.write(question);
    tty.read_line(deadline)
}

/// Whether an answer means yes; `default` decides on an empty one.
pub(crate) fn is_yes(answer: &str, default: bool) -> bool {
    match answer.trim().to_ascii_lowercase().as_str() {
        "" => default,
        answer => ["y", "yes"].contains(&answer),
    }
}

/// Whether an answer means no.
pub(crate) fn is_no(answer: &str) -> bool {
    ["n", "no"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// The terminal with its echo turned off, from the first prompt until this is dropped.
#[derive(Debug)]
pub(crate) struct HiddenPrompt(&'static HiddenTerminal);

/// One per process, shared with the thread that handles signals.
#[derive(Debug)]
struct HiddenTerminal {
    tty: Tty,
    /// The settings from before.
    settings: Termios,
    /// Locked while the terminal is changed, so that the thread that handles signals never hides the input of a prompt
    /// that has ended meanwhile.
    prompt: Mutex<Prompt>,
}

/// What the prompt waits for.
#[derive(Debug, Default)]
struct Prompt {
    is_open: bool,
    /// The question that waits for input, or an empty text.
    question: String,
}

impl HiddenPrompt {
    /// Turns the echo off and discards what was typed before; `None` without a terminal.
    pub(crate) fn open() -> Option<Self> {
        static TERMINAL: OnceLock<Option<HiddenTerminal>> = OnceLock::new();
        let mut is_first = false;
        let terminal = TERMINAL.get_or_init(|| {
            is_first = true;
            let tty = Tty::open()?;
            let settings = tty.settings()?;
            Some(HiddenTerminal { tty, settings, prompt: Mutex::default() })
        });
        let terminal = terminal.as_ref()?;
        if is_first {
            // If the thread cannot be started, a signal still ends the program, but without restoring the echo.
            let _ = signals::handle_in_thread(HANDLED_SIGNALS, |signal| terminal.on_signal(signal));
        }
        let mut prompt = terminal.prompt();
        prompt.is_open = true;
        terminal.hide();
        drop(prompt);
        Some(Self(terminal))
    }

    /// Asks for a line; `None` at the end of the input (Ctrl-D).
    pub(crate) fn ask(&self, question: &str) -> Result<Option<Secret<String>>, CliError> {
        question.clone_into(&mut self.0.prompt().question);
        self.0.tty.write(question);
        let line = read_secret_line(&mut self.0.tty.reader(), "the terminal");
        self.0.prompt().question.clear();
        line
    }
}

impl Drop for HiddenPrompt {
    fn drop(&mut self) {
        let mut prompt = self.0.prompt();
        prompt.is_open = false;
        self.0.show();
    }
}

impl HiddenTerminal {
    fn hide(&self) {
        let mut hidden = self.settings.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL);
        self.tty.apply(&hidden);
    }

    fn show(&self) {
        self.tty.apply(&self.settings);
    }

    fn prompt(&self) -> MutexGuard<'_, Prompt> {
        self.prompt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Restores the echo and takes the signal's default action. When the program continues while the prompt is open, hides
    /// the input and prints the question again. SIGSTOP cannot be handled, so only SIGCONT shows that the program was
    /// stopped.
    fn on_signal(&self, signal: Signal) {
        let prompt = self.prompt();
        match (signal, prompt.is_open) {
            (Signal::SIGCONT, true) => {
                self.hide();
                self.tty.write(&prompt.question);
            }
            (Signal::SIGCONT, false) => {}
            (_, is_open) => {
                if is_open {
                    self.show();
                    self.tty.write("\n");
                }
                drop(prompt);
                signals::raise_default(signal);
            }
        }
    }
}

/// The next line of standard input; `None` at its end.
pub(crate) fn read_stdin_line() -> Result<Option<Secret<String>>, CliError> {
    read_secret_line(&mut io::stdin().lock(), "standard input")
}

/// Reads a line without its end, byte by byte from a buffer that does not grow: a buffer that grows leaves copies
/// behind.
pub(super) fn read_secret_line(input: &mut impl Read, name: &str) -> Result<Option<Secret<String>>, CliError> {
    let mut bytes = Secret::new(Vec::with_capacity(MAX_LINE_BYTES));
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) if bytes.expose().is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if bytes.expose().len() < MAX_LINE_BYTES => bytes.expose_mut().push(byte[0]),
            Ok(_) => return Err(no_input(&format!("{name} has a line of more than {MAX_LINE_BYTES} bytes"))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(no_input(&format!("cannot read {name}: {error}"))),
        }
    }
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| no_input(&format!("{name} is not UTF-8 text")))?;
    let mut line = Secret::new(String::with_capacity(MAX_LINE_BYTES));
    line.expose_mut().push_str(text.trim_end_matches('\r'));
    Ok(Some(line))
}

/// A prompt got no usable input.
pub(crate) fn no_input(what: &str) -> CliError {
    CliError::failed(what, "Run the command again").untouched(Untouched::NothingChanged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_secret_line_any_line_end_is_removed() {
        let mut input: &[u8] = b"old one\r\n new one \n\nlast";
        let mut next = || read_secret_line(&mut input, "it").unwrap().map(|line| line.expose().clone());
        for line in ["old one", " new one ", "", "last"] {
            assert_eq!(next().as_deref(), Some(line));
        }
        assert_eq!(next(), None);
    }

    #[test]
    fn read_secret_line_too_long_or_binary_fails() {
        let read = |bytes: &[u8]| read_secret_line(&mut &*bytes, "standard input");
        assert!(read("x".repeat(MAX_LINE_BYTES).as_bytes()).is_ok());
        let error = read("x".repeat(MAX_LINE_BYTES + 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("4096 bytes"), "{error}");
        assert!(read(&[0xff, b'\n']).is_err());
    }

    #[test]
    fn is_yes_empty_answer_is_the_default() {
        assert!(is_yes(" Yes\r", false) && is_yes("y", true) && is_yes("", true));
        assert!(!is_yes("", false) && !is_yes("no", true) && !is_yes("yess", true));
        assert!(is_no(" No\r") && is_no("n") && !is_no("") && !is_no("abc") && !is_no("y"));
    }
}
