//! The last line of the terminal during a login: a question, or what the login waits for.
//!
//! A signal that ends the program first clears or ends that line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::clock::Deadline;
use crate::error::CliError;
use crate::output;
use crate::terminal::prompt;
use crate::terminal::signals::{self, TERMINATION_SIGNALS};
use crate::terminal::tty::{self, Tty, TypedLine};

/// How long the signal thread waits for a thread that is writing.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it tries again.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Moves the cursor to the start of the line and clears the line.
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// Where the line is written.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Standard error.
    StandardError,
    /// The terminal itself.
    Terminal(Tty),
}

/// What the last line shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    Empty,
    /// A text that can be redrawn.
    Drawn,
    /// A question, with the cursor behind it.
    Asking,
    /// The output of a child process.
    HandedToChild,
}

/// The last line of the terminal, shared with the thread that handles signals.
#[derive(Debug, Clone)]
pub(crate) struct StatusLine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sink: Sink,
    /// Whether the terminal can redraw a line.
    is_live: bool,
    tty: Option<Tty>,
    state: Mutex<LineState>,
}

impl StatusLine {
    /// Output goes to `sink`, questions to `tty`. Starts the thread that handles signals.
    pub(crate) fn new(sink: Sink, is_live: bool, tty: Option<Tty>) -> Result<Self, CliError> {
        let line = Self(Arc::new(Shared { sink, is_live, tty, state: Mutex::new(LineState::Empty) }));
        let shared = line.clone();
        signals::handle_in_thread(TERMINATION_SIGNALS, move |signal| shared.on_signal(signal))
            .map_err(CliError::no_thread)?;
        Ok(line)
    }

    /// Prints a line. Clears a drawn line first.
    pub(crate) fn print_line(&self, text: &str) {
        let mut state = self.state();
        let clear = if *state == LineState::Drawn { CLEAR_LINE } else { "" };
        *state = LineState::Empty;
        self.write(&format!("{clear}{text}\n"));
    }

    /// Returns the columns of the terminal; `None` if the output goes to a file or a pipe.
    pub(crate) fn columns(&self) -> Option<usize> {
        match &self.0.sink {
            Sink::StandardError => tty::size(std::io::stderr()).0,
            Sink::Terminal(tty) => tty.size().0,
        }
    }

    /// Redraws the line, if the terminal can redraw.
    pub(crate) fn draw(&self, text: &str) {
        if !self.is_live() {
            return;
        }
        let width = self.width();
        let mut state = self.state();
        *state = LineState::Drawn;
        // The last column stays free, since some terminals wrap when it is filled.
        let cut: String = text.chars().take(width.saturating_sub(1)).collect();
        self.write(&format!("{CLEAR_LINE}{cut}"));
    }

    /// Clears a drawn line.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut *state, LineState::Empty) == LineState::Drawn {
            self.write(CLEAR_LINE);
        }
    }

    /// Asks a question on the terminal, with the cursor behind it.
    pub(crate) fn ask(&self, tty: &Tty, question: &str, deadline: Deadline) -> TypedLine {
        tty.discard_typed_input();
        *self.state() = LineState::Asking;
        let typed = prompt::ask(tty, question, Some(deadline));
        *self.state() = LineState::Empty;
        typed
    }

    /// Runs `act` while another program has the terminal. Ctrl-C is for that program then.
    pub(crate) fn hand_to_child<T>(&self, act: impl FnOnce() -> T) -> T {
        *self.state() = LineState::HandedToChild;
        let done = act();
        *self.state() = LineState::Empty;
        done
    }

    /// Whether the terminal can redraw a line.
    pub(crate) fn is_live(&self) -> bool {
        self.0.is_live
    }

    /// The state, once no thread writes. `None` if a write does not end, for example to a stopped terminal.
    fn try_state(&self) -> Option<MutexGuard<'_, LineState>> {
        let deadline = Deadline::after(LOCK_TIMEOUT);
        loop {
            match self.0.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(state.into_inner()),
                Err(TryLockError::WouldBlock) if deadline.sleep(LOCK_POLL_INTERVAL) => {}
                Err(TryLockError::WouldBlock) => return None,
            }
        }
    }

    /// Restores the line, and lets the signal end the program. A child that has the terminal gets Ctrl-C alone.
    fn on_signal(&self, signal: Signal) {
        // Held until the program ends, so that no other thread draws.
        let held = self.try_state();
        match held.as_deref().copied().unwrap_or(LineState::Empty) {
            LineState::HandedToChild if matches!(signal, Signal::SIGINT | Signal::SIGQUIT) => return,
            LineState::Drawn => self.write(CLEAR_LINE),
            LineState::Asking => self.0.tty.iter().for_each(|tty| tty.write("\n")),
            LineState::Empty | LineState::HandedToChild => {}
        }
        signals::raise_default(signal);
    }

    fn state(&self) -> MutexGuard<'_, LineState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn width(&self) -> usize {
        const DEFAULT_COLUMNS: usize = 80;
        self.columns().unwrap_or(DEFAULT_COLUMNS)
    }

    fn write(&self, text: &str) {
        match &self.0.sink {
            Sink::StandardError => output::stderr_raw(text),
            Sink::Terminal(tty) => tty.write(text),
        }
    }
}
