//! `rolecall status --watch`: prints the status whenever it changes.
//!
//! On a terminal it redraws one frame on the alternate screen, as `watch` and `gh run watch` do. Otherwise, and with
//! `--json`, it prints a table or a line of JSON for every change.

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

/// How often the frame is redrawn without an event, because it shows times. Without a terminal, how often the client
/// checks that standard output still has a reader.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Signals that restore the terminal first, and SIGWINCH, which redraws the frame.
const HANDLED_SIGNALS: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGWINCH];

/// Follows the daemon until a signal ends the program.
pub(super) fn run(wanted: &cli::Status, context: &Context) -> Result<(), CliError> {
    // The first call starts the daemon if it does not run; later calls do not.
    let events = context.daemon()?.events(Deadline::after(CALL_TIMEOUT))?;
    let (sender, watched) = mpsc::channel();
    let mut view = View::new(wanted, context, &sender)?;
    follow::start(context.running_daemon()?, events, sender).map_err(CliError::no_thread)?;
    let ended = show_events(&mut view, &watched);
    view.leave();
    ended
}

fn show_events(view: &mut View, watched: &Receiver<WatchEvent>) -> Result<(), CliError> {
    let mut last = Vec::new();
    loop {
        match watched.recv_timeout(REDRAW_INTERVAL) {
            Ok(WatchEvent::Status(body)) => {
                view.show(&body, body != last)?;
                last = body;
            }
            Ok(WatchEvent::Heard(at)) => view.heard(at)?,
            Ok(WatchEvent::Outage(outage)) => {
                if outage == Outage::NotRunning {
                    // The status of the next daemon is shown even if it is equal.
                    last.clear();
                }
                view.outage(&outage)?;
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

/// The note about an outage. `heard` is when the daemon last sent something.
fn outage_text(outage: &Outage, heard: Timestamp, zone: &TimeZone) -> String {
    match outage {
        Outage::NotRunning => {
            "the agent is not running; waiting for it. Any kubectl starts it, or: rolecall agent start".into()
        }
        Outage::Silent => format!("the agent does not answer (since {})", format_time::time_of_day(heard, zone)),
        Outage::Failing(words) => words.clone(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, CliError> {
    let malformed = |error| CallError::InvalidResponse(format!("its answer is not what was asked for ({error})"));
    serde_json::from_slice(body).map_err(|error| malformed(error).into())
}

/// How the status is shown.
enum View {
    /// A table or a line of JSON for every change.
    Printed(Printed),
    /// One frame that is redrawn.
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
                outage: String::new(),
            }));
        }
        let sender = sender.clone();
        let hand_over = move |signal| drop(sender.send(WatchEvent::Signal(signal)));
        signals::handle_in_thread(HANDLED_SIGNALS, hand_over).map_err(CliError::no_thread)?;
        Ok(Self::Canvas(Box::new(Canvas { screen, zone, status: None, heard, outage: None, is_on: false })))
    }

    /// Shows a status. `is_new`: it differs from the last one.
    fn show(&mut self, body: &[u8], is_new: bool) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => printed.show(body, is_new),
            Self::Canvas(canvas) => {
                (canvas.status, canvas.outage) = (Some(read(body)?), None);
                canvas.draw()
            }
        }
    }

    /// Records that the daemon sent something, which ends an outage.
    fn heard(&mut self, at: Timestamp) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => {
                printed.heard = at;
                printed.outage.clear();
                Ok(())
            }
            Self::Canvas(canvas) => {
                canvas.heard = at;
                // Without an outage, the next tick redraws the time.
                if canvas.outage.take().is_some() { canvas.draw() } else { Ok(()) }
            }
        }
    }

    fn outage(&mut self, outage: &Outage) -> Result<(), CliError> {
        match self {
            Self::Printed(printed) => printed.outage(outage),
            Self::Canvas(canvas) => {
                canvas.outage = Some(outage_text(outage, canvas.heard, &canvas.zone));
                canvas.draw()
            }
        }
    }

    fn tick(&mut self) -> Result<(), CliError> {
        match self {
            Self::Canvas(canvas) => canvas.draw(),
            // Without this check, a reader that has exited (`| grep -m1 ready`) is noticed only at the next change.
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
                // Reached only if the process ignores the signal.
                Err(CliError::silent(u8::try_from(128 + signal as i32).unwrap_or(Exit::Failed as u8)))
            }
        }
    }

    /// Leaves the last frame on the terminal. Ignores a failed write.
    fn leave(&mut self) {
        if let Self::Canvas(canvas) = self {
            let _ = canvas.leave();
        }
    }
}

struct Printed {
    /// Whether a change is printed as JSON, not as a table.
    json: bool,
    screen: Screen,
    zone: TimeZone,
    /// When the daemon last sent something.
    heard: Timestamp,
    is_first: bool,
    /// The last note about the current outage.
    outage: String,
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

    fn outage(&mut self, outage: &Outage) -> Result<(), CliError> {
        let note = outage_text(outage, self.heard, &self.zone);
        if self.outage == note {
            return Ok(());
        }
        output::print_note(&note);
        self.outage = note;
        if self.json && *outage == Outage::NotRunning {
            return output::print("{\"running\":false}\n");
        }
        Ok(())
    }
}

struct Canvas {
    screen: Screen,
    zone: TimeZone,
    status: Option<Status>,
    /// When the daemon last sent something.
    heard: Timestamp,
    /// The note about the current outage.
    outage: Option<String>,
    /// Whether the terminal shows the alternate screen.
    is_on: bool,
}

impl Canvas {
    fn draw(&mut self) -> Result<(), CliError> {
        if self.status.is_none() && self.outage.is_none() {
            return Ok(());
        }
        let (screen, rows) = self.screen.resized();
        let text = output::without_unwanted_colors(&frame::compose(&self.picture(true), &self.zone, screen, rows));
        let enter = if self.is_on { "" } else { frame::ENTER_ALTERNATE_SCREEN };
        self.is_on = true;
        output::stdout_bytes(format!("{enter}{}", frame::paint(&text, screen)).as_bytes())
    }

    fn leave_alternate_screen(&mut self) -> Result<(), CliError> {
        if std::mem::take(&mut self.is_on) {
            output::stdout_bytes(frame::LEAVE_ALTERNATE_SCREEN.as_bytes())
        } else {
            Ok(())
        }
    }

    /// Leaves the alternate screen and prints the last frame on the main screen.
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
        // During an outage the status may no longer be true, so its durations stop.
        let now = if self.outage.is_some() { self.heard } else { clock::now() };
        Picture { status: self.status.as_ref(), now, as_of: self.heard, outage: self.outage.as_deref(), is_live }
    }
}
