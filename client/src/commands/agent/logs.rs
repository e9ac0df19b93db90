//! `rolecall agent logs`: the end of the daemon's log.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::{Endpoint, Status};

use crate::context::Context;
use crate::daemon::spawn;
use crate::error::CliError;
use crate::output;

/// The maximum size of one read.
const MAX_READ_BYTES: u64 = 1024 * 1024;
/// How often a followed log is read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Prints the last `lines` lines. `follow`: then prints new lines as they are written.
pub(crate) fn run(follow: bool, lines: usize, context: &Context) -> Result<(), CliError> {
    let path = log_path(context)?;
    let failed = |error: io::Error| {
        CliError::failed(
            format!("cannot read {}: {error}", path.display()),
            "It is there once the agent has run: rolecall agent start",
        )
    };
    let mut file = open(&path).map_err(failed)?;
    let text = tail(&mut file, lines).map_err(failed)?;
    output::print(&escape_control(&text))?;
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(POLL_INTERVAL);
        let more = read_appended(&mut file, &path).map_err(failed)?;
        if !more.is_empty() {
            output::print(&escape_control(&more))?;
        }
    }
}

/// Opens the log. Errors if it is not a regular file: a FIFO would block until another program writes to it.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
    }
}

/// The log file of the running daemon, or that of a daemon that this client would start.
fn log_path(context: &Context) -> Result<PathBuf, CliError> {
    let running = context.running_daemon().and_then(|daemon| daemon.call_json::<Status>(&Endpoint::Status, b""));
    match running {
        Ok(Status { daemon, .. }) => daemon.log.map(PathBuf::from).ok_or_else(|| {
            CliError::failed(
                "the agent logs to its standard error, not to a file",
                "Look where it was started, or with: journalctl --user -u rolecalld",
            )
        }),
        Err(_) => spawn::log_file().ok_or_else(|| CliError::failed("there is no home folder", "Set HOME")),
    }
}

/// Returns the last lines. The file position is the end afterwards.
fn tail(file: &mut File, lines: usize) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(MAX_READ_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(length - from).read_to_end(&mut text)?;
    let mut breaks = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    // No line follows the line break at the end.
    let start = if text.ends_with(b"\n") { breaks.nth(lines) } else { breaks.nth(lines.saturating_sub(1)) };
    let start = match start {
        Some(start) => start,
        // The first line is incomplete.
        None if from > 0 => text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        None => 0,
    };
    Ok(if lines == 0 { Vec::new() } else { text.split_off(start) })
}

/// Returns what was appended. A log that was truncated or replaced is read from its start.
fn read_appended(file: &mut File, path: &Path) -> io::Result<Vec<u8>> {
    let mut more = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut more)?;
    if more.is_empty() {
        let known = file.metadata()?;
        match path.metadata() {
            Ok(now) if (now.dev(), now.ino()) != (known.dev(), known.ino()) => *file = open(path)?,
            Ok(now) if now.len() < file.stream_position()? => file.rewind()?,
            _ => {}
        }
    }
    Ok(more)
}

/// Escapes control characters, since a log can have texts of other programs.
fn escape_control(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn tail_returns_the_last_lines() {
        let mut file = tempfile::tempfile().unwrap();
        let mut last = |content: &str, lines| {
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            String::from_utf8(tail(&mut file, lines).unwrap()).unwrap()
        };
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 2), "b\nc");
        assert_eq!(last("a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(last("a\n", 0), "");
        assert_eq!(last("", 5), "");
        let long = "x".repeat(3 << 20) + "\nend\n";
        assert_eq!(last(&long, 9), "end\n");
    }

    #[test]
    fn read_appended_follows_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        std::fs::write(&path, "one\n").unwrap();
        let mut file = File::open(&path).unwrap();
        assert_eq!(tail(&mut file, 5).unwrap(), b"one\n");
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"");
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"two\n");
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"");
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"new\n");
        std::fs::rename(&path, folder.path().join("daemon.log.1")).unwrap();
        std::fs::write(&path, "rotated\n").unwrap();
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"");
        assert_eq!(read_appended(&mut file, &path).unwrap(), b"rotated\n");
    }

    /// Fault matrix row 11.
    #[test]
    fn open_fifo_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open(&path).unwrap_err().to_string(), "it is not a file");
        assert!(open(folder.path()).is_err());
    }

    #[test]
    fn escape_control_keeps_newlines() {
        assert_eq!(escape_control(b"a\x1b[2Jb\tc\r\n\xff"), "a\\u{1b}[2Jb\tc\\u{d}\n\u{fffd}");
    }
}
