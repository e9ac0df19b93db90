//! The line on standard output in which a daemon that a client has started says whether it serves.

use std::fmt;

use crate::text::sanitize_for_terminal;

/// The line, without its end: `ready`, `already running`, or `no socket: ` or `error: ` and the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartupLine {
    /// The daemon serves the socket.
    Ready,
    /// Another daemon serves the socket.
    AlreadyRunning,
    /// The daemon cannot create its socket, for this cause: the folder is full or read-only, for example. A daemon for one
    /// call (`rolecalld --once`) needs no socket.
    NoSocket(String),
    /// The daemon cannot start, for this cause.
    Failed(String),
}

impl StartupLine {
    const READY: &str = "ready";
    const ALREADY_RUNNING: &str = "already running";
    const NO_SOCKET: &str = "no socket: ";
    const FAILED: &str = "error: ";

    /// Reads the line. A line of another form is the cause of a failure. Returns `None` for an empty line.
    pub fn parse(line: &str) -> Option<Self> {
        match line {
            "" => None,
            Self::READY => Some(Self::Ready),
            Self::ALREADY_RUNNING => Some(Self::AlreadyRunning),
            other => Some(match other.strip_prefix(Self::NO_SOCKET) {
                Some(cause) => Self::NoSocket(cause.to_owned()),
                None => Self::Failed(other.strip_prefix(Self::FAILED).unwrap_or(other).to_owned()),
            }),
        }
    }
}

impl fmt::Display for StartupLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str(Self::READY),
            Self::AlreadyRunning => f.write_str(Self::ALREADY_RUNNING),
            Self::NoSocket(cause) => write!(f, "{}{}", Self::NO_SOCKET, sanitize_for_terminal(cause)),
            Self::Failed(cause) => write!(f, "{}{}", Self::FAILED, sanitize_for_terminal(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_line_written_and_parsed_is_the_same() {
        for (line, text) in [
            (StartupLine::Ready, "ready"),
            (StartupLine::AlreadyRunning, "already running"),
            (StartupLine::NoSocket("/run: cannot bind: full".to_owned()), "no socket: /run: cannot bind: full"),
            (StartupLine::Failed("config.toml:3: no such key".to_owned()), "error: config.toml:3: no such key"),
        ] {
            assert_eq!(line.to_string(), text);
            assert_eq!(StartupLine::parse(text), Some(line));
        }
        assert_eq!(StartupLine::parse("odd"), Some(StartupLine::Failed("odd".to_owned())));
        assert_eq!(StartupLine::parse(""), None);
    }
}
