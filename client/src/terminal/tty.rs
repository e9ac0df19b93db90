//! The controlling terminal, `/dev/tty`, independent of standard input and output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::mpsc;

use rustix::fs::OFlags;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::clock::Deadline;

/// The longest typed line, in bytes.
const MAX_LINE_BYTES: usize = 1024;

/// The controlling terminal.
#[derive(Debug, Clone)]
pub(crate) struct Tty(Arc<File>);

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypedLine {
    /// A line, without its end.
    Line(String),
    /// The end of the input (Ctrl-D), or the terminal has gone.
    End,
    /// No line before the deadline.
    Timeout,
}

impl Tty {
    /// Opens the terminal of this process, if it has one.
    pub(crate) fn open() -> Option<Self> {
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
        // NONBLOCK: opening a serial line would wait for its carrier. It is cleared afterwards, because reads block.
        let file = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty").ok()?;
        let flags = rustix::fs::fcntl_getfl(&file).ok()?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).ok()?;
        Some(Self(Arc::new(file)))
    }

    /// Whether a question can be asked: this process is in the foreground, and the terminal is in its normal mode.
    /// Programs that draw on the whole terminal, such as k9s, change the mode.
    pub(crate) fn is_available(&self) -> bool {
        let is_ours = rustix::termios::tcgetpgrp(&*self.0).is_ok_and(|group| group == rustix::process::getpgrp());
        let plain = LocalModes::ICANON | LocalModes::ECHO;
        is_ours && tcgetattr(&*self.0).is_ok_and(|modes| modes.local_modes.contains(plain))
    }

    /// The columns and rows; `None` if unknown.
    pub(super) fn size(&self) -> (Option<usize>, Option<usize>) {
        size(&*self.0)
    }

    /// Writes text. Ignores an error.
    pub(crate) fn write(&self, text: &str) {
        let _ = (&*self.0).write_all(text.as_bytes());
    }

    /// Discards input that was typed before the question, since it was meant for another program.
    pub(crate) fn discard_typed_input(&self) {
        let _ = rustix::termios::tcflush(&*self.0, QueueSelector::IFlush);
    }

    /// Waits for a line, at most until the deadline. Discards an unfinished line then.
    pub(crate) fn read_line(&self, deadline: Option<Deadline>) -> TypedLine {
        let Some(deadline) = deadline else {
            return read_until_newline(&self.0).map_or(TypedLine::End, TypedLine::Line);
        };
        let (sender, typed) = mpsc::channel();
        let file = Arc::clone(&self.0);
        // In a thread, because macOS's poll does not know /dev/tty. After the deadline the thread ends with the
        // program.
        let read = move || drop(sender.send(read_until_newline(&file)));
        let Ok(_) = std::thread::Builder::new().name("keyboard".to_owned()).spawn(read) else { return TypedLine::End };
        let Some(left) = deadline.remaining() else { return TypedLine::Timeout };
        match typed.recv_timeout(left) {
            Ok(Some(line)) => TypedLine::Line(line),
            Ok(None) | Err(mpsc::RecvTimeoutError::Disconnected) => TypedLine::End,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.discard_typed_input();
                TypedLine::Timeout
            }
        }
    }

    /// Reads the terminal as a file.
    pub(super) fn reader(&self) -> impl Read + '_ {
        &*self.0
    }

    /// The terminal's settings.
    pub(super) fn settings(&self) -> Option<Termios> {
        tcgetattr(&*self.0).ok()
    }

    /// Changes the settings. Discards input that was typed before the echo is turned off, since it was meant for
    /// another program.
    pub(super) fn apply(&self, settings: &Termios) {
        let when =
            if settings.local_modes.contains(LocalModes::ECHO) { OptionalActions::Now } else { OptionalActions::Flush };
        let _ = tcsetattr(&*self.0, when, settings);
    }

    /// Makes the terminal deliver single keys without an echo, until the result is dropped. `None` if this process is not
    /// in the foreground.
    pub(crate) fn key_mode(&self) -> Option<KeyMode> {
        let before = tcgetattr(&*self.0).ok().filter(|_| self.is_available())?;
        let mut settings = before.clone();
        settings.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        settings.special_codes[SpecialCodeIndex::VMIN] = 1;
        settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&*self.0, OptionalActions::Now, &settings).ok()?;
        Some(KeyMode { tty: self.clone(), before })
    }

    /// Waits for a key, in [`Tty::key_mode`]. `None` if the terminal has gone.
    pub(crate) fn read_key(&self) -> Option<u8> {
        let mut key = [0];
        loop {
            match (&*self.0).read(&mut key) {
                Ok(0) => return None,
                Ok(_) => return Some(key[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// The terminal as the standard input or output of a child process.
    pub(crate) fn stdio(&self) -> io::Result<std::process::Stdio> {
        self.0.try_clone().map(Into::into)
    }

    /// Runs `act` and restores the terminal's mode, which `act` may change.
    pub(crate) fn with_restored_mode<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = tcgetattr(&*self.0);
        let done = act();
        if let Ok(before) = before {
            let _ = tcsetattr(&*self.0, OptionalActions::Now, &before);
        }
        done
    }
}

/// The mode in which a terminal delivers single keys. Restores the mode before it when dropped.
#[derive(Debug)]
pub(crate) struct KeyMode {
    tty: Tty,
    before: Termios,
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        let _ = tcsetattr(&*self.tty.0, OptionalActions::Now, &self.before);
    }
}

/// The columns and rows of a terminal; `None` for another file, or if unknown.
pub(super) fn size(terminal: impl std::os::fd::AsFd) -> (Option<usize>, Option<usize>) {
    let size = rustix::termios::tcgetwinsize(terminal).ok();
    let nonzero = |count: u16| Some(usize::from(count)).filter(|count| *count > 0);
    (size.and_then(|size| nonzero(size.ws_col)), size.and_then(|size| nonzero(size.ws_row)))
}

/// Reads a line; `None` at the end of the input. A terminal in canonical mode returns whole lines.
fn read_until_newline(mut file: &File) -> Option<String> {
    let mut line = Vec::new();
    let mut chunk = [0; 256];
    while !line.contains(&b'\n') && line.len() < MAX_LINE_BYTES {
        match file.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    line.truncate(end);
    Some(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// A socket in place of the terminal. The process tests use a pseudo-terminal.
    fn pair() -> (Tty, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Tty(Arc::new(File::from(OwnedFd::from(ours)))), theirs)
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[test]
    fn read_line_in_parts_is_joined() {
        let (tty, mut theirs) = pair();
        theirs.write_all(b"12").unwrap();
        let reader = std::thread::spawn(move || tty.read_line(Some(soon())));
        theirs.write_all(b"34\n").unwrap();
        assert_eq!(reader.join().unwrap(), TypedLine::Line("1234".to_owned()));
    }

    #[test]
    fn read_line_end_and_timeout_differ() {
        let (tty, theirs) = pair();
        assert_eq!(tty.read_line(Some(Deadline::after(Duration::from_millis(20)))), TypedLine::Timeout);
        assert_eq!(tty.read_line(Some(Deadline::after(Duration::ZERO))), TypedLine::Timeout);
        drop(theirs);
        assert_eq!(tty.read_line(Some(soon())), TypedLine::End);
    }

    #[test]
    fn read_line_without_end_is_cut() {
        let (tty, mut theirs) = pair();
        assert!(!tty.is_available());
        assert_eq!(tty.size(), (None, None));
        theirs.write_all(&[b'x'; 4 * MAX_LINE_BYTES]).unwrap();
        let TypedLine::Line(line) = tty.read_line(Some(soon())) else { panic!("no line") };
        assert!(line.len() < 2 * MAX_LINE_BYTES);
    }
}
