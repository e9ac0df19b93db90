//! Protected profiles (`protected = true`): the client asks before it opens a shell or runs a program with one.
//!
//! This is a guard against a mistake of the user, not against programs: the daemon gives tokens of a protected profile like
//! those of any other.

use std::io::IsTerminal;
use std::time::Duration;

use owo_colors::{OwoColorize, Style};
use rolecall_protocol::{ProfileName, ProfileStatus, location};

use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::error::{CliError, Exit};
use crate::output;
use crate::terminal::prompt;
use crate::terminal::table::Cell;
use crate::terminal::tty::{Tty, TypedLine};

/// How long the question waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// Whether a profile is protected. False if the configuration cannot be read: the daemon reports why.
pub(crate) fn is_protected(name: &str) -> bool {
    let config = location::config().ok().and_then(|path| ConfigFile::load(&path).ok());
    config.is_some_and(|config| config.is_protected(name))
}

/// Returns the name of a profile for a table, which is red if the profile is protected.
pub(crate) fn name_cell(profile: &ProfileStatus) -> Cell {
    let style = if profile.protected { Style::new().red() } else { Style::new() };
    Cell::styled(profile.name.as_str(), style)
}

/// Prints on standard error that a profile is protected.
pub(crate) fn print_warning(name: &str) {
    output::print_styled_note(&format!("{} is protected", name.red().bold()));
}

/// Returns without an error if the profile is not protected, or the user agrees: with `--yes`, or with an answer on the
/// terminal.
///
/// # Errors
/// If the user declines, and, without a terminal and without `--yes`, with exit code 2.
pub(crate) fn confirm(name: &ProfileName, yes: bool) -> Result<(), CliError> {
    if !is_protected(name.as_str()) {
        return Ok(());
    }
    let tty = Tty::open().filter(|tty| std::io::stderr().is_terminal() && tty.is_available());
    let Some(tty) = tty.filter(|_| !yes) else {
        if yes {
            print_warning(name.as_str());
            return Ok(());
        }
        return Err(CliError::new(
            Exit::Usage,
            format!("{name} is protected, and there is no terminal to ask on"),
            "Agree with --yes",
        ));
    };
    print_warning(name.as_str());
    tty.discard_typed_input();
    match prompt::ask(&tty, "Continue? [y/N] ", Some(Deadline::after(ANSWER_TIMEOUT))) {
        TypedLine::Line(answer) if prompt::is_yes(&answer, false) => return Ok(()),
        TypedLine::Line(_) => {}
        TypedLine::End | TypedLine::Timeout => tty.write("\n"),
    }
    Err(CliError::failed(format!("{name} was not used"), "To use it without a question: --yes"))
}
