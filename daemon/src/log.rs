//! The daemon's log, on standard error or in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A larger log file is renamed when the daemon starts.
const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// The log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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
    if let Some(path) = file {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(open(path)?));
        registry.with(layer).init();
    } else {
        let layer = tracing_subscriber::fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
        registry.with(layer).init();
    }
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
    if std::fs::metadata(path).is_ok_and(|found| found.len() > MAX_LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    // A FIFO without a reader would block.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if !(kind.is_file() || kind.is_char_device()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

impl Level {
    /// Returns the level of that name, if there is one.
    pub fn of_name(name: &str) -> Option<Self> {
        clap::ValueEnum::from_str(name, true).ok()
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
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        assert!(open(&path).is_err());
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(open(&path).is_err(), "with a reader");
        assert!(open(Path::new("/dev/null")).is_ok());
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
