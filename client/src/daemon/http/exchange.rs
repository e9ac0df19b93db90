//! Sends a request over a connection and reads its response, within a deadline and a size.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::message::{CALL_VERSIONS, Head, HttpError, MAX_HEAD_BYTES, Response, parse_head};
use crate::clock::Deadline;

/// The size of one read.
pub(super) const READ_CHUNK_BYTES: usize = 8 * 1024;

/// Sends a request and reads the response. Errors if the body has more than `max_body` bytes. If no byte of the
/// response arrives within `check_after` and `is_hopeless` returns true, errors without waiting for the deadline.
pub(crate) fn exchange_unless(
    stream: &UnixStream,
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
    stream: &UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    exchange_unless(stream, request, max_body, deadline, deadline.limit(), || false)
}

/// Reads the response of a daemon that closed the connection before it read the whole request, for example because the
/// body is too large.
fn receive_early(
    stream: &UnixStream,
    max_body: usize,
    deadline: Deadline,
    cause: Option<io::Error>,
) -> Result<Response, HttpError> {
    match receive_rest(stream, Vec::with_capacity(READ_CHUNK_BYTES), max_body, deadline) {
        Err(HttpError::Disconnected { received: 0, .. }) => Err(HttpError::Disconnected { received: 0, cause }),
        answer => answer,
    }
}

pub(super) fn send(stream: &UnixStream, mut rest: &[u8], deadline: Deadline) -> Result<(), HttpError> {
    while !rest.is_empty() {
        match rustix::net::send(stream, rest, SendFlags::DONTWAIT) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Only a request that is larger than the socket's buffer waits.
            Err(Errno::AGAIN) => wait_until(PollFlags::OUT, stream, 0, deadline)?,
            Err(error) => return Err(HttpError::Disconnected { received: 0, cause: Some(error.into()) }),
        }
    }
    Ok(())
}

/// Waits until the socket is ready, or has failed, which the next call then reports. Errors at the deadline. `received` bytes of the
/// response have arrived.
fn wait_until(ready: PollFlags, stream: &UnixStream, received: usize, deadline: Deadline) -> Result<(), HttpError> {
    let left = deadline.remaining().and_then(|left| Timespec::try_from(left).ok()).ok_or(HttpError::TimedOut)?;
    match rustix::event::poll(&mut [PollFd::new(stream, ready)], Some(&left)) {
        Ok(0) => Err(HttpError::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(HttpError::Disconnected { received, cause: Some(error.into()) }),
    }
}

/// Reads a response. `buffer` has the bytes that have arrived.
fn receive_rest(
    stream: &UnixStream,
    mut buffer: Vec<u8>,
    max_body: usize,
    deadline: Deadline,
) -> Result<Response, HttpError> {
    let head = receive_head(stream, &mut buffer, CALL_VERSIONS, deadline)?;
    receive_body(stream, buffer, head, max_body, deadline)
}

/// Reads until the head is complete. The buffer may have the start of the body too.
pub(super) fn receive_head(
    stream: &UnixStream,
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
    stream: &UnixStream,
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
pub(super) fn read_some(stream: &UnixStream, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<(), HttpError> {
    let mut chunk = [MaybeUninit::uninit(); READ_CHUNK_BYTES];
    let lost = |cause| HttpError::Disconnected { received: buffer.len(), cause };
    loop {
        // Before every read, so that a peer that sends one byte per second cannot exceed the deadline.
        wait_until(PollFlags::IN, stream, buffer.len(), deadline)?;
        match rustix::net::recv(stream, &mut chunk[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(lost(None)),
            Ok(((bytes, _), _)) => {
                buffer.extend_from_slice(bytes);
                return Ok(());
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(lost(Some(error.into()))),
        }
    }
}

#[cfg(test)]
mod tests;
