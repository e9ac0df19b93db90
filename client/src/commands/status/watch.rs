//! `rolecall status --watch`: the status, whenever it changes.
//!
//! On a terminal it is one picture that is drawn over, as `watch` and `gh run watch` do, on the terminal's other screen:
//! that survives being resized and typed into, and what was above stays. Elsewhere there is a table or a line of JSON for
//! every change, and nothing in between.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use nix::sys::signal::Signal;
use rolecall_protocol::Status;
use serde::de::DeserializeOwned;

use super::follow::{self, Outage, WatchEvent};
use super::frame::{self, Picture};
use crate::cli;
use crate::clock::{self, Deadline};
use crate::context::Context;
use crate::daemon::{CALL_TIMEOUT, CallError};
use crate::error::{CliError, Exit};
use crate::format_time;
use crate::output;
use crate::terminal::signals;
use crate::terminal::style::{self, Screen};

/// How often the picture is redrawn without an event, because it shows times. Without a terminal, how often the client
/// checks that standard output still has a reader.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Signals that restore the terminal first, and SIGWINCH, which redraws the picture.
const HANDLED_SIGNALS: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGWINCH];

/// Follows the daemon until a signal ends the program.
pub(super) fn run(wanted: &cli::Status, context: &Context) -> Result<(), CliError> {
    // Here the daemon is started where it does not run, as by every command; later it is not.
    let events = context.daemon()?.events(Deadline::after(CALL_TIMEOUT))?;
    let (sender, news) = mpsc::channel();
    let mut view = View::new(wanted, context, &sender)?;
    follow::start(context.running_daemon()?, events, sender).map_err(|error| no_thread(&error))?;
    let ended = show_events(&mut view, &news);
    view.leave();
    ended
}

fn show_events(view: &mut View, news: &Receiver<WatchEvent>) -> Result<(), CliError> {
    let mut last = Vec::new();
    loop {
        match news.recv_timeout(REDRAW_INTERVAL) {
            Ok(WatchEvent::Status(body)) => {
                view.show(&body, body != last)?;
                last = body;
            }
            Ok(WatchEvent::Heard(at)) => view.heard(at)?,
            Ok(WatchEvent::Outage(away)) => {
                if away == Outage::Gone {
                    // Who comes after it is shown, even if nothing else is new.
                    last.clear();
                }
                view.away(&away)?;
            }
            Ok(WatchEvent::Signal(signal)) => view.signal(signal)?,
            Ok(WatchEvent::Ended(failure)) => return Err(failure.into()),
            Err(RecvTimeoutError::Timeout) => view.tick()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CliError::new(Exit::Bug, "the watch has ended by itself", "Report it"));
            }
        }
    }
}

/// How it is said that the daemon, last heard of at `heard`, cannot be asked.
fn outage_text(away: &Outage, heard: Timestamp, zone: &TimeZone) -> String {
    match away {
        Outage::Gone => {
            "the agent is not running; waiting for it. Any kubectl starts it, or: rolecall agent start".into()
        }
        Outage::Silent => format!("the agent does not answer (since {})", format_time::time_of_day(heard, zone)),
        Outage::Failing(words) => words.clone(),
    }
}

fn no_thread(error: &std::io::Error) -> CliError {
    CliError::failed(format!("cannot start a thread: {error}"), "There may be too many processes")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, CliError> {
    let malformed = |error| CallError::InvalidResponse(format!("its answer is not what was asked for ({error})"));
    serde_json::from_slice(body).map_err(|error| malformed(error).into())
}

/// The way in which it is shown.
enum View {
    /// Something for every change.
    Printed(Printed),
    /// One picture.
    Canvas(Box<Canvas>),
}

impl View {
    fn new(wanted: &cli::Status, context: &Context, sender: &Sender<WatchEvent>) -> Result<Self, CliError> {
        let (screen, zone, heard) = (context.screen, TimeZone::system(), clock::now());
        if wanted.json || !style::stdout_can_redraw(&context.environment) {
            return Ok(Self::Printed(Printed {
                json: wanted.json,
                screen,
                zone,
                heard,
                is_first: true,
                away: String::new(),
            }));
        }
        let sender = sender.clone();
        let hand_over = move |signal| drop(sender.send(WatchEvent::Signal(signal)));
        signals::handle_in_thread(HANDLED_SIGNALS, hand_over).map_err(|error| no_thread(&error))?;
        Ok(Self::Canvas(Box::new(Canvas { screen, zone, status: None, heard, away: None, is_on: false })))
    }

    /// There is a status, and it is another than the last if `is_new`.
    fn show(&mut self, body: &[u8], is_new: bool) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => printed.show(body, is_new),
            Self::Canvas(canvas) => {
                (canvas.status, canvas.away) = (Some(read(body)?), None);
                canvas.draw()
            }
        }
    }

    /// The daemon has said something.
    fn heard(&mut self, at: Timestamp) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => {
                printed.heard = at;
                printed.away.clear();
                Ok(())
            }
            Self::Canvas(canvas) => {
                canvas.heard = at;
                // Otherwise the next tick is soon enough.
                if canvas.away.take().is_some() { canvas.draw() } else { Ok(()) }
            }
        }
    }

    fn away(&mut self, away: &Outage) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => printed.away(away),
            Self::Canvas(canvas) => {
                canvas.away = Some(outage_text(away, canvas.heard, &canvas.zone));
                canvas.draw()
            }
        }
    }

    fn tick(&mut self) -> Result<(), CliError> {
        match self {
            Self::Canvas(canvas) => canvas.draw(),
            // Nothing else would tell before the next change that the reader has gone (`| grep -m1 ready`).
            Self::Printed(_) if output::stdout_is_closed() => Err(CliError::silent(Exit::Failed as u8)),
            Self::Printed(_) => Ok(()),
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<(), CliError> {
        match (self, signal) {
            (Self::Canvas(canvas), Signal::SIGWINCH) => canvas.draw(),
            (Self::Canvas(canvas), Signal::SIGTSTP) => {
                canvas.leave_alternate_screen()?;
                signals::raise_default(signal);
                canvas.draw()
            }
            (view, _) => {
                view.leave();
                signals::raise_default(signal);
                // Not reached, unless the signal does nothing here.
                Err(CliError::silent(u8::try_from(128 + signal as i32).unwrap_or(Exit::Failed as u8)))
            }
        }
    }

    /// Leaves the last picture on the terminal. Ignores a failed write.
    fn leave(&mut self) {
        if let Self::Canvas(canvas) = self {
            let _ = canvas.leave();
        }
    }
}

struct Printed {
    /// Whether it is a line of JSON rather than a table.
    json: bool,
    screen: Screen,
    zone: TimeZone,
    /// When the daemon was last heard of.
    heard: Timestamp,
    is_first: bool,
    /// What was said last of a daemon that is away.
    away: String,
}

impl Printed {
    fn show(&mut self, body: &[u8], is_new: bool) -> Result<(), CliError> {
        if !is_new {
            return Ok(());
        }
        if self.json {
            return output::print(&format!("{}\n", read::<serde_json::Value>(body)?));
        }
        let status = read(body)?;
        if !std::mem::take(&mut self.is_first) {
            output::print("\n")?;
        }
        super::render::print(&status, &self.zone, self.screen.resized().0)
    }

    fn away(&mut self, away: &Outage) -> Result<(), CliError> {
        let words = outage_text(away, self.heard, &self.zone);
        if self.away == words {
            return Ok(());
        }
        output::print_note(&words);
        self.away = words;
        if self.json && *away == Outage::Gone {
            return output::print("{\"running\":false}\n");
        }
        Ok(())
    }
}

struct Canvas {
    screen: Screen,
    zone: TimeZone,
    status: Option<Status>,
    /// When the daemon was last heard of.
    heard: Timestamp,
    away: Option<String>,
    /// Whether the terminal shows the picture.
    is_on: bool,
}

impl Canvas {
    fn draw(&mut self) -> Result<(), CliError> {
        if self.status.is_none() && self.away.is_none() {
            return Ok(());
        }
        let (screen, rows) = self.screen.resized();
        let text = output::without_unwanted_colors(&frame::compose(&self.picture(true), &self.zone, screen, rows));
        let enter = if self.is_on { "" } else { frame::ENTER_ALTERNATE_SCREEN };
        self.is_on = true;
        output::stdout_bytes(format!("{enter}{}", frame::paint(&text, screen)).as_bytes())
    }

    /// Gives the terminal back, for a while.
    fn leave_alternate_screen(&mut self) -> Result<(), CliError> {
        if std::mem::take(&mut self.is_on) {
            output::stdout_bytes(frame::LEAVE_ALTERNATE_SCREEN.as_bytes())
        } else {
            Ok(())
        }
    }

    /// Gives the terminal back, and leaves the picture on it.
    fn leave(&mut self) -> Result<(), CliError> {
        if !self.is_on {
            return Ok(());
        }
        self.leave_alternate_screen()?;
        let (screen, rows) = self.screen.resized();
        let text = frame::compose(&self.picture(false), &self.zone, screen, rows);
        output::stdout_bytes(output::without_unwanted_colors(&text).as_bytes())
    }

    fn picture(&self, is_live: bool) -> Picture<'_> {
        // A daemon that is away may have done anything since: nothing is counted on from its last word.
        let now = if self.away.is_some() { self.heard } else { clock::now() };
        Picture { status: self.status.as_ref(), now, as_of: self.heard, away: self.away.as_deref(), is_live }
    }
}
