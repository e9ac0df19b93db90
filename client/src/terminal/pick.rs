//! A list on the terminal from which the user chooses one item. What the user types filters it.
//!
//! The list is drawn on standard error, so standard output stays clean. Without the list's own keys (Ctrl-Z does nothing
//! while the terminal is in raw mode), Ctrl-C ends the program as usual, with exit status 130 in a shell, after the terminal
//! was restored.

use std::fmt;
use std::io::{self, IsTerminal};

use inquire::ui::{Color, RenderConfig, StyleSheet, Styled};
use inquire::{InquireError, Select};
use nix::sys::signal::Signal;
use owo_colors::OwoColorize;
use rolecall_protocol::sanitize_for_terminal;

use super::signals;
use super::style::supports_cursor_moves;
use super::tty::Tty;
use crate::environment::Environment;
use crate::error::{CliError, Exit};

/// The columns that the list draws before an item.
const CURSOR_COLUMNS: usize = 2;
/// The lines that the list draws beside the items.
const OTHER_LINES: usize = 4;
/// The most items on the screen.
const MAX_LINES: usize = 15;

/// One item of the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) name: String,
    /// More about it, which is dimmed.
    pub(crate) detail: String,
    /// Whether it has the mark `*`.
    pub(crate) is_current: bool,
    /// Whether its name is red.
    pub(crate) is_protected: bool,
}

/// A choice as it is drawn.
struct Item {
    name: String,
    line: String,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Lets the user choose. Returns the index of the choice.
///
/// # Errors
/// With exit code 2 if there is no terminal to choose on; if the user leaves the list with Esc; and silently, with exit
/// code 130, on Ctrl-C, if SIGINT does not end the program.
pub(crate) fn pick(question: &str, choices: &[Choice], environment: &Environment) -> Result<usize, CliError> {
    let tty = Tty::open().filter(|tty| {
        io::stderr().is_terminal()
            && io::stdin().is_terminal()
            && tty.is_available()
            && supports_cursor_moves(environment)
    });
    let Some(tty) = tty else {
        return Err(CliError::new(Exit::Usage, "there is no terminal to choose on", "Name it on the command line"));
    };
    let is_colored = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let (width, rows) = tty.size();
    let items = items(choices, width, is_colored);
    let page = rows.unwrap_or(MAX_LINES).saturating_sub(OTHER_LINES).clamp(1, MAX_LINES);
    restore_on_signal(&tty);
    let picked = Select::new(question, items)
        .with_page_size(page)
        .with_render_config(render_config(is_colored))
        .with_help_message("type to filter, Esc leaves")
        .with_formatter(&|picked| picked.value.name.clone())
        .with_scorer(&|input, item, _, _| score(input, &item.name))
        .raw_prompt();
    match picked {
        Ok(picked) => Ok(picked.index),
        Err(InquireError::OperationInterrupted) => {
            signals::raise_default(Signal::SIGINT);
            Err(CliError::silent(130))
        }
        Err(InquireError::OperationCanceled) => {
            Err(CliError::failed("nothing was chosen", "Run the command again to choose").nothing_written())
        }
        Err(error) => {
            Err(CliError::failed(format!("cannot choose on this terminal: {error}"), "Name it on the command line"))
        }
    }
}

/// How well a name matches the input: higher is better, `None` is no match. The letters of the input appear in the name in
/// their order, in any case; a name that has the input as one piece is better, and best at its start.
fn score(input: &str, name: &str) -> Option<i64> {
    let (input, name) = (input.to_lowercase(), name.to_lowercase());
    if let Some(start) = name.find(&input) {
        return Some(if start == 0 { 2 } else { 1 });
    }
    let mut letters = name.chars();
    input.chars().filter(|letter| !letter.is_whitespace()).all(|wanted| letters.any(|have| have == wanted)).then_some(0)
}

fn items(choices: &[Choice], width: Option<usize>, is_colored: bool) -> Vec<Item> {
    let longest = choices.iter().map(|choice| choice.name.chars().count()).max().unwrap_or_default();
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(CURSOR_COLUMNS + 3));
    let draw = |choice: &Choice| {
        let name = cut(&sanitize_for_terminal(&choice.name), room);
        let padding = longest.min(room).saturating_sub(name.chars().count());
        let detail = sanitize_for_terminal(&choice.detail);
        let detail = cut(&detail, room.saturating_sub(name.chars().count() + padding + 2));
        let mark = if choice.is_current { "*" } else { " " };
        let mut line = match (is_colored, choice.is_protected) {
            (true, true) => format!("{mark} {}", name.red()),
            _ => format!("{mark} {name}"),
        };
        if !detail.is_empty() {
            let detail = if is_colored { detail.dimmed().to_string() } else { detail };
            line.push_str(&format!("{}  {detail}", " ".repeat(padding)));
        }
        Item { name: choice.name.clone(), line }
    };
    choices.iter().map(draw).collect()
}

/// The first characters of a text that fit.
fn cut(text: &str, room: usize) -> String {
    match text.chars().count() {
        count if count <= room => text.to_owned(),
        _ if room == 0 => String::new(),
        _ => text.chars().take(room - 1).chain(['…']).collect(),
    }
}

fn render_config(is_colored: bool) -> RenderConfig<'static> {
    let plain = RenderConfig::empty()
        .with_prompt_prefix(Styled::new("?"))
        .with_answered_prompt_prefix(Styled::new(">"))
        .with_highlighted_option_prefix(Styled::new(">"));
    if !is_colored {
        return plain;
    }
    plain
        .with_prompt_prefix(Styled::new("?").with_fg(Color::LightGreen))
        .with_highlighted_option_prefix(Styled::new(">").with_fg(Color::LightCyan))
        .with_help_message(StyleSheet::new().with_fg(Color::DarkGrey))
}

/// Restores the terminal if a signal ends the program while the list is open. The thread ends with the program.
fn restore_on_signal(tty: &Tty) {
    let Some(settings) = tty.settings() else { return };
    let tty = tty.clone();
    // Without the thread, a signal ends the program and leaves the terminal in raw mode.
    let _ = signals::handle_in_thread(&[Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT], move |signal| {
        tty.apply(&settings);
        signals::raise_default(signal);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_prefers_the_start_then_a_piece_then_letters() {
        assert_eq!(score("pro", "production"), Some(2));
        assert_eq!(score("DUC", "production"), Some(1));
        assert_eq!(score("pdn", "production"), Some(0));
        assert_eq!(score("", "production"), Some(2));
        assert_eq!(score("npd", "production"), None);
    }

    #[test]
    fn items_fit_the_terminal() {
        let choice = |name: &str, is_current| Choice {
            name: name.to_owned(),
            detail: "developers, prod in eu-west-1".to_owned(),
            is_current,
            is_protected: is_current,
        };
        let choices = [choice("prod", true), choice("a-very-long-name-of-a-context-of-another-tool\u{1b}[2J", false)];
        for width in [10, 40, 80, 200] {
            for item in items(&choices, Some(width), false) {
                assert!(item.line.chars().count() + CURSOR_COLUMNS <= width, "{width}: {:?}", item.line);
                assert!(!item.line.contains('\u{1b}'));
            }
        }
        let wide = items(&choices[..1], Some(80), false);
        assert_eq!(wide[0].line, "* prod  developers, prod in eu-west-1");
        assert!(items(&choices, None, true)[0].line.starts_with("* \u{1b}[31mprod"));
    }
}
