//! Sends a request over a connection and reads its response, within a deadline and a size.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::message::{CALL_VERSIONS, Head, HttpError, MAX_HEAD_BYTES, Response, parse_head};
use crate::clock::Deadline;

/// The size of one read.
pub(super) const READ_CHUNK_BYTES: usize = 8 * 1024;

/// Sends a request and reads the response. Errors if the body has more than `max_body` bytes. If no byte of the
/// response arrives within `check_after` and `is_hopeless` returns true, errors without waiting for the deadline.
pub(crate) fn exchange_unless(
    stream: &mut UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
    check_after: Duration,
    is_hopeless: impl FnOnce() -> bool,
) -> Result<Response, HttpError> {
    match send(stream, request, deadline) {
        Err(HttpError::Disconnected { cause, .. }) => receive_early(stream, max_body, deadline, cause),
        Err(other) => Err(other),
        Ok(()) => {
            let mut buffer = Vec::with_capacity(READ_CHUNK_BYTES);
            // The first read has a shorter timeout, so a fast response has no extra cost.
            match read_some(stream, &mut buffer, deadline.within(check_after)) {
                Err(HttpError::TimedOut) if is_hopeless() => return Err(HttpError::TimedOut),
                Ok(()) | Err(HttpError::TimedOut) => {}
                Err(lost) => return Err(lost),
            }
            receive_rest(stream, buffer, max_body, deadline)
        }
    }
}

/// As [`exchange_unless`], and always waits for the deadline.
pub(crate) fn exchange(
    stream: &mut UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    exchange_unless(stream, request, max_body, deadline, deadline.limit(), || false)
}

/// Reads the response of a daemon that closed the connection before it read the whole request, for example because the
/// body is too large.
fn receive_early(
    stream: &mut UnixStream,
    max_body: usize,
    deadline: Deadline,
    cause: Option<io::Error>,
) -> Result<Response, HttpError> {
    match receive_rest(stream, Vec::with_capacity(READ_CHUNK_BYTES), max_body, deadline) {
        Err(HttpError::Disconnected { received: 0, .. }) => Err(HttpError::Disconnected { received: 0, cause }),
        answer => answer,
    }
}

pub(super) fn send(stream: &mut UnixStream, mut rest: &[u8], deadline: Deadline) -> Result<(), HttpError> {
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

/// Reads a response. `buffer` has the bytes that have arrived.
fn receive_rest(
    stream: &mut UnixStream,
    mut buffer: Vec<u8>,
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    let head = receive_head(stream, &mut buffer, CALL_VERSIONS, deadline)?;
    receive_body(stream, buffer, head, max_body, deadline)
}

/// Reads until the head is complete. The buffer may have the start of the body too.
pub(super) fn receive_head(
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

/// Reads the body after its head.
pub(super) fn receive_body(
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

/// Reads once and appends the bytes. The end of the stream is an error.
pub(super) fn read_some(stream: &mut UnixStream, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<(), HttpError> {
    let mut chunk = [0; READ_CHUNK_BYTES];
    let lost = |cause| HttpError::Disconnected { received: buffer.len(), cause };
    loop {
        // Set again before every read, so that a peer that sends one byte per second cannot exceed the deadline.
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

#[cfg(test)]
mod tests;
