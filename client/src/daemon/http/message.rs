//! The bytes of a request, and the head of a response.

use std::io::{self, Write};

use rolecall_protocol::{Endpoint, PROTOCOL_HEADER, PROTOCOL_VERSION};

/// The largest head of an answer that is read, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What an answer to [`request`] begins with.
pub(super) const CALL_VERSIONS: &[&[u8]] = &[b"HTTP/1.1 "];
/// What an answer to [`request_lines`] begins with: the version is the server's to choose.
pub(super) const STREAM_VERSIONS: &[&[u8]] = &[b"HTTP/1.0 ", b"HTTP/1.1 "];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The time is up.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended. `received` is what had arrived by then, in bytes.
    #[error("the connection broke after {received} bytes of the answer{}", because(.cause.as_ref()))]
    Disconnected {
        /// Bytes of the answer.
        received: usize,
        /// The system's word, where there was an error rather than an end.
        cause: Option<io::Error>,
    },
    /// What answers does not speak as the daemon does.
    #[error("{0}")]
    Invalid(&'static str),
}

fn because(cause: Option<&io::Error>) -> String {
    cause.map(|error| format!(" ({error})")).unwrap_or_default()
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(super) head: Head,
    pub(super) buffer: Vec<u8>,
}

impl Response {
    /// The status, such as 200.
    pub(crate) const fn status(&self) -> u16 {
        self.head.status
    }

    /// The protocol's version that the answer claims.
    pub(crate) const fn protocol(&self) -> Option<u32> {
        self.head.protocol
    }

    /// The body, untouched.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.head.body_at..).unwrap_or_default()
    }
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) protocol: Option<u32>,
    pub(super) body_at: usize,
    /// How long the body says it is.
    pub(super) length: Option<usize>,
}

/// The bytes of a request. The path comes from [`Endpoint`] and its validated name, so there is nothing to escape.
pub(crate) fn request(endpoint: &Endpoint, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(192 + body.len());
    // Writing to a Vec cannot fail.
    let _ = write!(
        bytes,
        "{} {} HTTP/1.1\r\nHost: rolecall\r\n{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        endpoint.method().as_str(),
        endpoint.path(),
        body.len(),
    );
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of a request whose answer is to go on, line by line, until either side closes the connection.
///
/// In HTTP/1.0, because that version knows no chunks: the body is what comes until the connection ends, so that the
/// reader sees lines alone.
pub(crate) fn request_lines(endpoint: &Endpoint, body: &[u8]) -> Vec<u8> {
    let (method, path) = (endpoint.method().as_str(), endpoint.path());
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: rolecall\r\n{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\n{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Reads the head of an answer; `None` while it is not complete.
pub(super) fn parse_head(bytes: &[u8], versions: &[&[u8]]) -> Result<Option<Head>, HttpError> {
    const PREFIX: usize = b"HTTP/1.1 ".len();
    let seen = bytes.len().min(PREFIX);
    if !versions.iter().any(|version| bytes.get(..seen) == version.get(..seen)) {
        return Err(HttpError::Invalid("its answer is not HTTP/1.1"));
    }
    let Some(end) = bytes.windows(4).take(MAX_HEAD_BYTES).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = bytes.get(PREFIX..end).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| HttpError::Invalid("its answer's head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.get(..3).filter(|_| line.len() == 3 || line.as_bytes().get(3) == Some(&b' ')))
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|code| code.parse().ok())
        .ok_or(HttpError::Invalid("its answer has no status"))?;
    let mut length = None;
    let mut protocol = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(HttpError::Invalid("its answer has a broken header"))?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            // Digits alone: `parse` would take a sign.
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let parsed = value.parse().ok().filter(|_| digits && length.is_none());
            length = Some(parsed.ok_or(HttpError::Invalid("its answer has no clear length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::Invalid("its answer has no clear length"));
        } else if name.eq_ignore_ascii_case(PROTOCOL_HEADER) {
            protocol = value.parse().ok();
        }
    }
    Ok(Some(Head { status, protocol, body_at: end + 4, length }))
}
