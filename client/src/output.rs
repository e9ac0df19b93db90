//! The one file that writes to standard output and standard error.
//!
//! Standard output is data and results, standard error is for notes and errors; on failure standard output stays empty.
//! Text is written with colours; `anstream` removes them where there is no terminal, and for `NO_COLOR`.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{CliError, Exit};

/// Writes bytes to standard output as they are, in one write: for kubectl, which parses them. Not through std's buffered
/// stdout, which would cut them at line ends.
pub(crate) fn stdout_bytes(mut bytes: &[u8]) -> Result<(), CliError> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout.as_fd(), bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(CliError::failed(
                    format!("cannot write to standard output: {error}"),
                    "Check that its reader still runs and that its disk has room",
                ));
            }
        }
    }
    Ok(())
}

/// Text with its colours where they are wanted, and without where they are not: for what goes to [`stdout_bytes`] between
/// sequences that move the cursor, which have to stay.
pub(crate) fn without_unwanted_colors(text: &str) -> String {
    match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

/// Whether what reads standard output has gone. A write would tell as well; this is for those who have nothing to write.
pub(crate) fn stdout_is_closed() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut asked, Some(&now)).is_ok()
        && asked.iter().any(|asked| asked.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Writes text to standard output. A reader that has seen enough (`| head`) ends the program without a word.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::silent(Exit::Failed as u8),
        _ => CliError::failed(
            format!("cannot write to standard output: {error}"),
            "Check that its reader still runs and that its disk has room",
        ),
    })
}

/// Prints JSON for programs.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        CliError::new(Exit::Bug, format!("cannot write JSON: {error}"), "Report it, with the command that you ran")
    })?;
    print(&format!("{text}\n"))
}

/// Says something on standard error that is not an error.
pub(crate) fn print_note(text: &str) {
    stderr_line(&rolecall_protocol::sanitize_for_terminal(text));
}

/// Writes text to standard error as it is, in one write: for what is drawn over.
pub(crate) fn stderr_raw(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Says what went wrong, in one line.
pub(crate) fn print_error(error: &CliError) {
    if !error.is_silent() {
        stderr_line(&error.to_string());
    }
}

/// Shows what clap has to say: help and version on standard output, everything else on standard error. Returns the exit
/// code.
pub(crate) fn print_usage_error(error: &clap::Error) -> u8 {
    // A failed write here cannot be reported anywhere.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8)
}

/// One write for the whole line, so that it is not cut by what others write to the same terminal.
fn stderr_line(text: &str) {
    let line = format!("rolecall: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
