//! Passphrases, from a person at the terminal or from a script's standard input; never from the command line, which every
//! process of the machine can read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Once};

use nix::sys::signal::Signal;
use rolecall_protocol::{ErrorBody, ErrorCode, Secret};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::atomic::Untouched;
use crate::report::CliError;
use crate::{output, signals};

/// The terminal of whoever runs this, wherever standard input and output go.
const TERMINAL: &str = "/dev/tty";
/// What is read of standard input, in bytes: a few passphrases.
const MOST: usize = 4096;
/// What a passphrase has at least; the daemon has the last word.
const LEAST: usize = 8;
/// How often a person may mistype.
pub(crate) const TRIES: usize = 3;
/// What would end the program and leave the terminal without echo.
const ENDING: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The terminal, which shows nothing of what is typed until this is dropped: also not what is typed before the prompt is there.
pub(crate) struct Hushed {
    terminal: Arc<File>,
    settings: Termios,
}

/// Where passphrases come from.
pub(crate) enum Passphrases {
    /// A person.
    Terminal(Hushed),
    /// Lines, the next of them last.
    Lines(Vec<Secret<String>>),
}

impl Passphrases {
    /// From standard input, a line each, or from the terminal. `otherwise` is what to do where there is none.
    pub(crate) fn find(stdin: bool, otherwise: &str) -> Result<Self, CliError> {
        if stdin {
            return lines(&mut io::stdin().lock()).map(Self::Lines);
        }
        let terminal = File::options().read(true).write(true).open(TERMINAL);
        let settings = terminal.ok().and_then(|terminal| Some((tcgetattr(&terminal).ok()?, terminal)));
        let Some((settings, terminal)) = settings else {
            let nobody = ErrorBody::new(ErrorCode::Locked, "there is no terminal to ask for a passphrase at");
            return Err(nobody.hint(otherwise).into());
        };
        Ok(Self::Terminal(Hushed::hush(terminal, settings)))
    }

    /// Whether somebody can be asked again.
    pub(crate) const fn is_a_person(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// One passphrase.
    pub(crate) fn ask(&mut self, what: &str) -> Result<Secret<String>, CliError> {
        match self {
            Self::Terminal(terminal) => terminal.prompt(what),
            Self::Lines(lines) => lines.pop().ok_or_else(|| nothing("standard input has too few lines")),
        }
    }

    /// A new one: a person types it twice, until it is the same and long enough.
    pub(crate) fn ask_new(&mut self) -> Result<Secret<String>, CliError> {
        let Self::Terminal(terminal) = self else { return self.ask("") };
        for _ in 0..TRIES {
            let first = terminal.prompt("New passphrase: ")?;
            if first.expose().len() < LEAST {
                output::note(&format!("a passphrase has {LEAST} characters at least; a few words are as good"));
                continue;
            }
            if terminal.prompt("The same again: ")?.expose() == first.expose() {
                return Ok(first);
            }
            output::note("these are two different ones");
        }
        Err(CliError::failed("no passphrase was given", "Run it again").untouched(Untouched::NothingChanged))
    }
}

impl Hushed {
    /// The terminal of this process, if there is one.
    pub(crate) fn open() -> Option<Self> {
        let terminal = File::options().read(true).write(true).open(TERMINAL).ok()?;
        let settings = tcgetattr(&terminal).ok()?;
        Some(Self::hush(terminal, settings))
    }

    /// Has a signal that ends the program put the terminal back first. Nobody else touches its settings meanwhile: a prompt
    /// that does (`rpassword`) may put back what it found, without echo, after that.
    fn hush(terminal: File, settings: Termios) -> Self {
        static ONCE: Once = Once::new();
        let terminal = Arc::new(terminal);
        let (own, before) = (Arc::clone(&terminal), settings.clone());
        ONCE.call_once(|| {
            let end = move |signal| {
                let _ = tcsetattr(&own, OptionalActions::Now, &before);
                let _ = (&*own).write_all(b"\n");
                signals::obey(signal);
            };
            // Without it the program ends all the same.
            let _ = signals::hand_over(ENDING, end);
        });
        let mut hushed = settings.clone();
        hushed.local_modes.remove(LocalModes::ECHO);
        hushed.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL);
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &hushed);
        Self { terminal, settings }
    }

    /// Asks without an echo.
    fn prompt(&self, what: &str) -> Result<Secret<String>, CliError> {
        self.line(what)?.ok_or_else(|| nothing("no passphrase was given"))
    }

    /// Asks for a line without an echo; `None` at the end of the input (Ctrl-D).
    pub(crate) fn line(&self, what: &str) -> Result<Option<Secret<String>>, CliError> {
        let failed = |error: io::Error| nothing(&format!("the terminal cannot be read: {error}"));
        (&*self.terminal).write_all(what.as_bytes()).map_err(failed)?;
        // Large enough from the start: one that grows leaves copies behind that nobody wipes.
        let mut typed = Secret::new(String::with_capacity(MOST));
        let mut byte = [0];
        let mut bytes = Secret::new(Vec::with_capacity(MOST));
        loop {
            match (&*self.terminal).read(&mut byte) {
                Ok(0) if bytes.expose().is_empty() => return Ok(None),
                Ok(0) => break,
                Ok(_) if byte[0] == b'\n' => break,
                Ok(_) if bytes.expose().len() < MOST => bytes.expose_mut().push(byte[0]),
                Ok(_) => return Err(nothing("that is too long")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let text = std::str::from_utf8(bytes.expose()).map_err(|_| nothing("that is no text"))?;
        typed.expose_mut().push_str(text.trim_end_matches('\r'));
        Ok(Some(typed))
    }

    fn put_back(&self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.settings);
    }
}

impl Drop for Hushed {
    fn drop(&mut self) {
        self.put_back();
    }
}

fn nothing(what: &str) -> CliError {
    CliError::failed(what, "Run it again").untouched(Untouched::NothingChanged)
}

/// The lines of a script's input, the first last.
fn lines(input: &mut impl Read) -> Result<Vec<Secret<String>>, CliError> {
    // Large enough from the start: one that grows leaves copies behind that nobody wipes.
    let mut bytes = Vec::with_capacity(MOST + 1);
    let read = input.take(MOST as u64 + 1).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(|error| nothing(&format!("standard input cannot be read: {error}")))?;
    if bytes.expose().len() > MOST {
        return Err(nothing(&format!("standard input has more than {MOST} bytes")));
    }
    let text = std::str::from_utf8(bytes.expose());
    let text = text.map_err(|_| nothing("standard input is not UTF-8 text"))?;
    Ok(text.lines().rev().map(|line| Secret::new(line.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gives_a_passphrase_a_line() {
        let read = |text: &str| {
            let mut found = Passphrases::Lines(lines(&mut text.as_bytes())?);
            let mut all = Vec::new();
            while let Ok(passphrase) = found.ask("") {
                all.push(passphrase.expose().clone());
            }
            Ok::<_, CliError>(all)
        };
        assert_eq!(read("correct horse").unwrap(), ["correct horse"]);
        assert_eq!(read("old one\r\n new one \n").unwrap(), ["old one", " new one "]);
        assert!(read("").unwrap().is_empty());
        assert!(read(&"x".repeat(MOST)).is_ok());
        assert!(read(&"x".repeat(MOST + 1)).unwrap_err().to_string().contains("4096 bytes"));
    }
}
