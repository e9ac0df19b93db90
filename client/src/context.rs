//! What every command gets, passed explicitly: the environment, the terminal, the time zone and the daemon.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use rolecall_protocol::location;

use crate::daemon::{CallError, Daemon, IfAbsent};
use crate::environment::Environment;
use crate::error::CliError;
use crate::format_time;
use crate::output;
use crate::terminal::style::Screen;

/// What a command may use.
#[derive(Debug)]
pub(crate) struct Context {
    /// The environment variables of this process.
    pub(crate) environment: Environment,
    /// What standard output can show.
    pub(crate) screen: Screen,
    /// The local time zone.
    pub(crate) zone: TimeZone,
    /// Reads the environment once more, for a daemon that is to be started.
    pub(crate) read_environment: fn() -> Environment,
}

impl Context {
    /// The context of this process.
    pub(crate) fn new(read_environment: fn() -> Environment) -> Self {
        let environment = read_environment();
        let screen = Screen::detect(&environment);
        Self { environment, screen, zone: format_time::local_zone(), read_environment }
    }

    /// The daemon. A call starts it if it does not run.
    pub(crate) fn daemon(&self) -> Result<Daemon, CallError> {
        Daemon::find(IfAbsent::Start(self.read_environment))
    }

    /// The daemon. A call fails with [`CallError::NotRunning`] if it does not run.
    #[allow(clippy::unused_self)] // commands reach the daemon through the context alone
    pub(crate) fn running_daemon(&self) -> Result<Daemon, CallError> {
        Daemon::find(IfAbsent::Fail)
    }

    /// The path of the configuration file.
    #[allow(clippy::unused_self)] // commands find their paths through the context alone
    pub(crate) fn config_path(&self) -> Result<PathBuf, CliError> {
        let path = location::config()?;
        output::print_detail(|| format!("configuration {}", path.display()));
        Ok(path)
    }

    /// Prints a text with the mark of something done, wrapped between words on a terminal.
    pub(crate) fn print_done(&self, text: &str) -> Result<(), CliError> {
        let lines = self.screen.paragraph(&format!("{} ", self.screen.tick()), text, "");
        output::print(&(lines.join("\n") + "\n"))
    }
}
