//! The one file that writes to standard output and standard error.
//!
//! Standard output is data and results, standard error is for notes and errors; on failure standard output stays empty.
//! Text is written with colours; `anstream` removes them where there is no terminal, and for `NO_COLOR`.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rolecall_protocol::is_unsafe_for_terminal;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{CliError, Exit};
use crate::kubeconfig::emit;
use crate::standard_streams;

/// Writes bytes to standard output unchanged, in one write, for kubectl. The buffered stdout of std would write line by
/// line.
pub(crate) fn stdout_bytes(mut bytes: &[u8]) -> Result<(), CliError> {
    check_stdout()?;
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(stdout_error(error)),
        }
    }
    Ok(())
}

/// Removes colours if standard output shall have none. For text that [`stdout_bytes`] writes with escape sequences that
/// move the cursor.
pub(crate) fn without_unwanted_colors(text: &str) -> String {
    match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

/// Whether the reader of standard output has exited. Needs no write.
pub(crate) fn stdout_is_closed() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&now)).is_ok()
        && polled.iter().any(|polled| polled.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Writes text to standard output. If the reader has exited (`| head`), the error is silent.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    check_stdout()?;
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::silent(Exit::Failed as u8),
        _ => stdout_error(error),
    })
}

/// Errors if standard output was closed at the start: `/dev/null` has its place.
fn check_stdout() -> Result<(), CliError> {
    if standard_streams::stdout_was_closed() {
        Err(stdout_error(io::Error::from(rustix::io::Errno::BADF)))
    } else {
        Ok(())
    }
}

fn stdout_error(error: impl std::fmt::Display) -> CliError {
    CliError::failed(
        format!("cannot write to standard output: {error}"),
        "Check that its reader still runs and that its disk has room",
    )
}

/// A format for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataFormat {
    Json,
    Yaml,
}

impl DataFormat {
    /// The value as one document, with a final line break.
    fn document(self, value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
        match self {
            Self::Json => serde_json::to_string_pretty(value).map(|text| text + "\n"),
            Self::Yaml => emit::json_as_block(serde_json::to_value(value)?),
        }
        .map(|text| self.without_controls(text))
    }

    /// The value as one document of a stream: a line of JSON, or YAML that begins with `---`.
    fn document_of_stream(self, value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
        match self {
            Self::Json => serde_json::to_string(value).map(|text| self.without_controls(text + "\n")),
            Self::Yaml => Ok(format!("---\n{}", self.document(value)?)),
        }
    }

    /// The document with escapes for characters that a terminal interprets. Such characters are in strings only, and in YAML only in
    /// quoted ones, so the document keeps its meaning.
    fn without_controls(self, document: String) -> String {
        let is_unsafe = |c: char| c != '\n' && is_unsafe_for_terminal(c);
        if !document.contains(is_unsafe) {
            return document;
        }
        let mut escaped = String::with_capacity(document.len());
        for c in document.chars() {
            match self {
                _ if !is_unsafe(c) => escaped.push(c),
                Self::Json => {
                    escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
                }
                Self::Yaml => escaped.extend([format!("\\U{:08x}", u32::from(c))]),
            }
        }
        escaped
    }
}

/// Prints a value for programs.
pub(crate) fn print_data(format: DataFormat, value: &impl serde::Serialize) -> Result<(), CliError> {
    print(&format.document(value).map_err(|error| serialize_error(&error))?)
}

/// Prints a value for programs, of which more follow.
pub(crate) fn print_data_of_stream(format: DataFormat, value: &impl serde::Serialize) -> Result<(), CliError> {
    print(&format.document_of_stream(value).map_err(|error| serialize_error(&error))?)
}

fn serialize_error(error: &serde_json::Error) -> CliError {
    CliError::new(Exit::Bug, format!("cannot write the result: {error}"), "Report it, with the command that you ran")
}

/// Whether the user wants details.
static IS_VERBOSE: AtomicBool = AtomicBool::new(false);

/// Makes [`print_detail`] print.
pub(crate) fn be_verbose() {
    IS_VERBOSE.store(true, Ordering::Relaxed);
}

/// Whether the user gave `--verbose`.
pub(crate) fn is_verbose() -> bool {
    IS_VERBOSE.load(Ordering::Relaxed)
}

/// Prints what the program does on standard error, with `--verbose`.
pub(crate) fn print_detail(text: impl FnOnce() -> String) {
    if is_verbose() {
        print_note(&text());
    }
}

/// Prints a note on standard error.
pub(crate) fn print_note(text: &str) {
    stderr_line(&rolecall_protocol::sanitize_for_terminal(text));
}

/// Prints a note with colours, which are removed as on standard output. The caller has escaped control characters.
pub(crate) fn print_styled_note(text: &str) {
    // A failed write cannot be reported.
    let _ = anstream::stderr().write_all(format!("rolecall: {text}\n").as_bytes());
}

/// Writes text to standard error unchanged, in one write, for a line that is redrawn.
pub(crate) fn stderr_raw(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints an error in one line.
pub(crate) fn print_error(error: &CliError) {
    if !error.is_silent() {
        stderr_line(&error.to_string());
    }
}

/// Prints help and version on standard output, and other errors of clap on standard error, with the prefix of all errors.
/// Returns the exit code.
pub(crate) fn print_usage_error(error: &clap::Error) -> u8 {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        // A failed write cannot be reported.
        let _ = anstream::stderr().write_all(text.replacen("error:", "rolecall:", 1).as_bytes());
    } else if let Err(failed) = print(&text) {
        print_error(&failed);
        return failed.code();
    }
    u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8)
}

/// Writes the line in one write, so that output of other programs does not split it.
fn stderr_line(text: &str) {
    let line = format!("rolecall: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 39.
    #[test]
    fn data_of_hostile_text_has_no_control_characters() {
        let value =
            serde_json::json!({"name": "a\u{1b}[2J\u{9b}31m\u{202e}b\u{e0041}\u{200b}\r\nc", "\u{2066}": ["\u{7f}"]});
        for format in [DataFormat::Json, DataFormat::Yaml] {
            let text = format.document(&value).unwrap() + &format.document_of_stream(&value).unwrap();
            assert!(!text.contains(|c: char| c != '\n' && is_unsafe_for_terminal(c)), "{text:?}");
        }
        for json in [DataFormat::Json.document(&value).unwrap(), DataFormat::Json.document_of_stream(&value).unwrap()] {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
        let yaml = DataFormat::Yaml.document(&serde_json::json!(["x\u{202e}\u{e0041}"])).unwrap();
        assert_eq!(yaml, "- \"x\\U0000202e\\U000e0041\"\n");
    }

    #[test]
    fn data_formats_json_and_yaml() {
        let value = serde_json::json!({"name": "prod", "ready": true, "count": 2, "off": "off", "none": null,
            "sources": [{"name": "a b", "tags": []}], "more": {}});
        let json = DataFormat::Json.document(&value).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        assert!(json.lines().count() > 5 && json.ends_with("}\n"), "{json}");
        let yaml = "count: 2\nmore: {}\nname: prod\n\"none\": null\n\"off\": \"off\"\nready: true\nsources:\n\
                    - name: \"a b\"\n  tags: []\n";
        assert_eq!(DataFormat::Yaml.document(&value).unwrap(), yaml);
        assert_eq!(DataFormat::Yaml.document_of_stream(&value).unwrap(), format!("---\n{yaml}"));
        assert_eq!(DataFormat::Json.document_of_stream(&1).unwrap(), "1\n");
    }
}
