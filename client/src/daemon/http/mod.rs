//! As much of HTTP/1.1 as one request and one answer on a Unix socket take.
//!
//! By hand, because this is what kubectl waits for: no runtime, no allocation beyond two buffers, one write and (nearly
//! always) one read. The daemon always sends a `Content-Length`; anything else is not our daemon and is refused. Only an
//! answer that goes on for as long as somebody listens has none: see [`request_lines`].

mod ndjson;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rolecall_protocol::{Endpoint, PROTOCOL_HEADER, PROTOCOL_VERSION};

use crate::clock::Deadline;

pub(crate) use ndjson::LineStream;

/// The largest head of an answer that is read, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What one read takes.
const READ_CHUNK_BYTES: usize = 8 * 1024;

/// What an answer to [`request`] begins with.
const CALL_VERSIONS: &[&[u8]] = &[b"HTTP/1.1 "];
/// What an answer to [`request_lines`] begins with: the version is the server's to choose.
const STREAM_VERSIONS: &[&[u8]] = &[b"HTTP/1.0 ", b"HTTP/1.1 "];

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
    head: Head,
    buffer: Vec<u8>,
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
struct Head {
    status: u16,
    protocol: Option<u32>,
    body_at: usize,
    /// How long the body says it is.
    length: Option<usize>,
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
/// In HTTP/1.0, because that version knows no chunks: the body is what comes until the connection ends, so that whoever
/// reads it reads lines and nothing else.
pub(crate) fn request_lines(endpoint: &Endpoint, body: &[u8]) -> Vec<u8> {
    let (method, path) = (endpoint.method().as_str(), endpoint.path());
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: rolecall\r\n{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\n{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends a request of [`request_lines`] and reads how the answer begins. Of a success that is its head, and the lines
/// are what follows; anything else is read to its end, as [`exchange`] does, and no line follows.
pub(crate) fn open_stream(
    mut stream: UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<(Response, LineStream), HttpError> {
    send(&mut stream, request, deadline)?;
    let mut buffer = Vec::with_capacity(READ_CHUNK_BYTES);
    let head = receive_head(&mut stream, &mut buffer, STREAM_VERSIONS, deadline)?;
    if head.status == 200 {
        let begun = buffer.split_off(head.body_at);
        return Ok((Response { head, buffer }, LineStream::new(stream, begun)));
    }
    let answer = receive_body(&mut stream, buffer, head, max_body, deadline)?;
    Ok((answer, LineStream::new(stream, Vec::new())))
}

/// Sends a request and reads the answer, of whose body at most `max_body` bytes are taken. Where nothing has come within
/// `moment`, `is_hopeless` is asked once whether to wait for the deadline at all.
pub(crate) fn exchange_unless(
    stream: &mut UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
    moment: Duration,
    is_hopeless: impl FnOnce() -> bool,
) -> Result<Response, HttpError> {
    match send(stream, request, deadline) {
        Err(HttpError::Disconnected { cause, .. }) => receive_early(stream, max_body, deadline, cause),
        Err(other) => Err(other),
        Ok(()) => {
            let mut buffer = Vec::with_capacity(READ_CHUNK_BYTES);
            // A shorter timeout for the read that there is anyway: who is answered soon pays nothing for this.
            match read_some(stream, &mut buffer, deadline.within(moment)) {
                Err(HttpError::TimedOut) if is_hopeless() => return Err(HttpError::TimedOut),
                Ok(()) | Err(HttpError::TimedOut) => {}
                Err(lost) => return Err(lost),
            }
            receive_rest(stream, buffer, max_body, deadline)
        }
    }
}

/// The same, waiting in any case.
pub(crate) fn exchange(
    stream: &mut UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    match send(stream, request, deadline) {
        Err(HttpError::Disconnected { cause, .. }) => receive_early(stream, max_body, deadline, cause),
        Err(other) => Err(other),
        Ok(()) => receive(stream, max_body, deadline),
    }
}

/// A daemon that refuses a large body answers and closes before it has read all of it: see what it said.
fn receive_early(
    stream: &mut UnixStream,
    max_body: usize,
    deadline: Deadline,
    cause: Option<io::Error>,
) -> Result<Response, HttpError> {
    match receive(stream, max_body, deadline) {
        Err(HttpError::Disconnected { received: 0, .. }) => Err(HttpError::Disconnected { received: 0, cause }),
        answer => answer,
    }
}

fn send(stream: &mut UnixStream, mut rest: &[u8], deadline: Deadline) -> Result<(), HttpError> {
    while !rest.is_empty() {
        let left = deadline.remaining().ok_or(HttpError::TimedOut)?;
        let lost = |error| HttpError::Disconnected { received: 0, cause: Some(error) };
        stream.set_write_timeout(Some(left)).map_err(lost)?;
        match stream.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(HttpError::TimedOut),
                _ => return Err(lost(error)),
            },
        }
    }
    Ok(())
}

fn receive(stream: &mut UnixStream, max_body: usize, deadline: Deadline) -> Result<Response, HttpError> {
    receive_rest(stream, Vec::with_capacity(READ_CHUNK_BYTES), max_body, deadline)
}

/// Reads an answer of which `buffer` has arrived already.
fn receive_rest(
    stream: &mut UnixStream,
    mut buffer: Vec<u8>,
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    let head = receive_head(stream, &mut buffer, CALL_VERSIONS, deadline)?;
    receive_body(stream, buffer, head, max_body, deadline)
}

/// Reads until the head is complete; what comes after it may be in the buffer too.
fn receive_head(
    stream: &mut UnixStream,
    buffer: &mut Vec<u8>,
    versions: &[&[u8]],
    deadline: Deadline,
) -> Result<Head, HttpError> {
    loop {
        if let Some(head) = parse_head(buffer, versions)? {
            return Ok(head);
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(HttpError::Invalid("its answer has a head without end"));
        }
        read_some(stream, buffer, deadline)?;
    }
}

/// Reads the body that a head has announced.
fn receive_body(
    stream: &mut UnixStream,
    mut buffer: Vec<u8>,
    head: Head,
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    let length = head.length.ok_or(HttpError::Invalid("its answer has no clear length"))?;
    if length > max_body {
        return Err(HttpError::Invalid("its answer is larger than any that we ask for"));
    }
    while buffer.len() < head.body_at + length {
        read_some(stream, &mut buffer, deadline)?;
    }
    if buffer.len() > head.body_at + length {
        return Err(HttpError::Invalid("its answer is longer than it says"));
    }
    Ok(Response { head, buffer })
}

/// Appends what one read brings; the end of the stream is an error, since more is needed.
fn read_some(stream: &mut UnixStream, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<(), HttpError> {
    let mut chunk = [0; READ_CHUNK_BYTES];
    let lost = |cause| HttpError::Disconnected { received: buffer.len(), cause };
    loop {
        // Afresh before every read: a peer that sends a byte a second must not outlive the deadline.
        let left = deadline.remaining().ok_or(HttpError::TimedOut)?;
        stream.set_read_timeout(Some(left)).map_err(|error| lost(Some(error)))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(lost(None)),
            Ok(count) => {
                buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                return Ok(());
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Err(HttpError::TimedOut),
                _ => return Err(lost(Some(error))),
            },
        }
    }
}

/// Reads the head of an answer; `None` while it is not complete.
fn parse_head(bytes: &[u8], versions: &[&[u8]]) -> Result<Option<Head>, HttpError> {
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

#[cfg(test)]
mod tests;
