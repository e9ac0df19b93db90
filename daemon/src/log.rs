//! The daemon's log, on standard error or in a file.

mod event_writer;
mod log_file;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use event_writer::EventWriter;
pub(crate) use log_file::LogFile;

/// The size at which `daemon.log` is renamed. It and the old one have 8 MiB at most.
const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// The log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Failures that need the user.
    Error,
    /// Failures.
    Warn,
    /// Events.
    Info,
    /// Causes of events.
    Debug,
    /// Everything in Rolecall's code.
    Trace,
}

/// Starts the log in the file, or on standard error without one.
pub fn start(level: Level, file: Option<&Path>) -> io::Result<()> {
    let registry = tracing_subscriber::registry().with(filter(level));
    let output: Box<dyn Write + Send> = match file {
        Some(path) => Box::new(LogFile::new(path, MAX_LOG_BYTES)?),
        None => Box::new(io::stderr()),
    };
    // Without colors: the writer escapes every control character.
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(EventWriter::new(output)));
    registry.with(layer).init();
    Ok(())
}

/// Rolecall's events have the chosen level. Libraries log warnings only: at `debug` they print requests with credentials (M3).
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("aws_config", LevelFilter::OFF) // it quotes what a credential_process wrote to standard error
        .with_target("rolecalld", level.filter())
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    }
    // A FIFO without a reader would block.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    // A device must not be renamed when the log is full.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

impl Level {
    /// Returns the level of that name in any case, if there is one.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_that_is_a_fifo_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(&path).is_err());
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(open(&path).is_err(), "with a reader");
        assert!(open(Path::new("/dev/null")).is_err());
        let log = open(&folder.path().join("other.log")).unwrap();
        assert!(!fcntl_getfl(&log).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn libraries_log_warnings_only() {
        let filter = filter(Level::Trace);
        assert!(filter.would_enable("rolecalld::agent", &tracing::Level::TRACE));
        for library in ["hyper", "aws_sdk_sts", "aws_smithy_runtime::client", "rustls"] {
            assert!(!filter.would_enable(library, &tracing::Level::INFO), "{library}");
        }
    }
}
