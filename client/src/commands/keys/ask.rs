//! What is asked of a person, on the terminal, whatever standard input and output are.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use rolecall_protocol::Secret;

use crate::atomic::Untouched;
use crate::passphrase::Hushed;
use crate::report::CliError;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1024;
/// The terminal of this process.
pub(super) struct Terminal(File);

impl Terminal {
    /// It, if there is one.
    pub(super) fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Asks for a line that everybody may see. `None` at the end of the input (Ctrl-D).
    pub(super) fn ask(&self, question: &str) -> Result<Option<String>, CliError> {
        (&self.0).write_all(question.as_bytes()).map_err(|error| unreadable(&error))?;
        line(&mut BufReader::new(&self.0))
    }

    /// Asks for a line that nobody shall see. Whatever ends the program meanwhile, the terminal shows again what is typed.
    pub(super) fn ask_secret(question: &str) -> Result<Option<Secret<String>>, CliError> {
        let Some(terminal) = Hushed::open() else {
            return Err(unreadable(&io::ErrorKind::NotFound.into()));
        };
        Ok(terminal.line(question)?.filter(|typed| !typed.expose().is_empty()))
    }
}

/// A line without its end, of bounded length; `None` where there is none any more.
pub(super) fn line(from: &mut impl BufRead) -> Result<Option<String>, CliError> {
    let mut line = String::new();
    match from.take(MAX_LINE).read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => {
            line.truncate(line.trim_end_matches(['\r', '\n']).len());
            Ok(Some(line))
        }
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> CliError {
    CliError::failed(format!("cannot read what is typed: {error}"), "Run it again in a terminal")
        .untouched(Untouched::NothingChanged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_make() {
        let mut from: &[u8] = b"one\r\ntwo\n\nlast";
        let mut next = || line(&mut from).unwrap();
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next().as_deref(), Some("two"));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().as_deref(), Some("last"));
        assert_eq!(next(), None);
        assert!(line(&mut [0xff, b'\n'].as_slice()).is_err());
        assert_eq!(line(&mut "x".repeat(5000).as_bytes()).unwrap().unwrap().len(), 1024);
    }
}
