//! A response that streams lines (NDJSON) until either side closes the connection.

use std::os::unix::net::UnixStream;

use super::exchange::{READ_CHUNK_BYTES, read_some, receive_body, receive_head, send};
use super::message::{HttpError, Response, STREAM_VERSIONS};
use crate::clock::Deadline;

/// The size limit of a line, in bytes. An event that names 10,000 profiles has about 700 KiB, a plan for the access of
/// 10,000 principals about 8 MiB.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// The lines of a response.
#[derive(Debug)]
pub(crate) struct LineStream {
    stream: UnixStream,
    /// The bytes that have arrived and were not returned yet.
    buffer: Vec<u8>,
    /// How many of them were searched for the end of a line.
    searched: usize,
}

impl LineStream {
    /// The lines of `stream`. `begun` has the bytes that have arrived.
    pub(super) const fn new(stream: UnixStream, begun: Vec<u8>) -> Self {
        Self { stream, buffer: begun, searched: 0 }
    }

    /// Returns the next line, without its end; `None` if none is complete by the deadline. An incomplete line at the
    /// end of the connection is dropped.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Result<Option<Vec<u8>>, HttpError> {
        loop {
            if let Some(line) = self.arrived() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(HttpError::Invalid("a line of its answer has no end"));
            }
            match read_some(&self.stream, &mut self.buffer, deadline) {
                Ok(()) => {}
                Err(HttpError::TimedOut) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the first complete line from the buffer and returns it.
    fn arrived(&mut self) -> Option<Vec<u8>> {
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|byte| *byte == b'\n').map(|end| self.searched + end) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.truncate(end);
        Some(line)
    }
}

/// Sends a request of [`super::request_lines`] and reads the head of the response. If it is a success, the lines follow.
/// Any other response is read to its end, as in [`super::exchange()`], and has no lines.
pub(crate) fn open_stream(
    stream: UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<(Response, LineStream), HttpError> {
    send(&stream, request, deadline)?;
    let mut buffer = Vec::with_capacity(READ_CHUNK_BYTES);
    let head = receive_head(&stream, &mut buffer, STREAM_VERSIONS, deadline)?;
    if head.status == 200 {
        let begun = buffer.split_off(head.body_at);
        return Ok((Response { head, buffer }, LineStream::new(stream, begun)));
    }
    let answer = receive_body(&stream, buffer, head, max_body, deadline)?;
    Ok((answer, LineStream::new(stream, Vec::new())))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use rolecall_protocol::Endpoint;

    use super::super::message::request_lines;
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    fn pair() -> (LineStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (LineStream::new(ours, Vec::new()), theirs)
    }

    /// What the client makes of an answer that is there before it asks.
    fn begun(answer: &[u8]) -> Result<(Response, LineStream), HttpError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        open_stream(ours, &request_lines(&Endpoint::Events, b""), 1 << 10, soon())
    }

    #[test]
    fn request_lines_uses_http_1_0() {
        assert_eq!(
            String::from_utf8(request_lines(&Endpoint::Events, b"")).unwrap(),
            "GET /v1/events HTTP/1.0\r\nHost: rolecall\r\nrolecall-protocol: 1\r\n\r\n"
        );
        let login = Endpoint::Login("work".parse().unwrap());
        assert_eq!(
            String::from_utf8(request_lines(&login, b"{}")).unwrap(),
            "POST /v1/sources/work/login HTTP/1.0\r\nHost: rolecall\r\nrolecall-protocol: 1\r\nContent-Length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn next_any_chunking_yields_whole_lines() {
        let text = b"one\n\ntwo\r\nthree\nhalf";
        for piece in [1, 2, 3, 7, text.len()] {
            let (mut lines, mut theirs) = pair();
            for part in text.chunks(piece) {
                theirs.write_all(part).unwrap();
            }
            drop(theirs);
            for expected in [&b"one"[..], b"", b"two\r", b"three"] {
                assert_eq!(lines.next(soon()).unwrap().unwrap(), expected);
            }
            assert!(matches!(lines.next(soon()), Err(HttpError::Disconnected { received: 4, cause: None })));
        }
    }

    #[test]
    fn next_at_the_deadline_keeps_partial_line() {
        let (mut lines, mut theirs) = pair();
        let short = || Deadline::after(Duration::from_millis(5));
        assert_eq!(lines.next(short()).unwrap(), None);
        theirs.write_all(b"he").unwrap();
        assert_eq!(lines.next(short()).unwrap(), None);
        theirs.write_all(b"llo\nmore\n").unwrap();
        assert_eq!(lines.next(soon()).unwrap().unwrap(), b"hello");
        // A line that has arrived is returned even after the deadline.
        assert_eq!(lines.next(Deadline::after(Duration::ZERO)).unwrap().unwrap(), b"more");
    }

    #[test]
    fn next_endless_line_is_rejected() {
        let (mut lines, mut theirs) = pair();
        let daemon = std::thread::spawn(move || while theirs.write_all(&[b'x'; 4096]).is_ok() {});
        let error = lines.next(soon()).unwrap_err();
        assert_eq!(error.to_string(), "a line of its answer has no end");
        assert!(lines.buffer.len() <= MAX_LINE_BYTES + READ_CHUNK_BYTES);
        drop(lines);
        daemon.join().unwrap();
    }

    #[test]
    fn open_stream_success_yields_lines() {
        for version in ["1.0", "1.1"] {
            let answer = format!("HTTP/{version} 200 OK\r\nRolecall-Protocol: 1\r\n\r\none\ntwo\n");
            let (answer, mut lines) = begun(answer.as_bytes()).unwrap();
            assert_eq!((answer.status(), answer.protocol(), answer.body()), (200, Some(1), &b""[..]));
            assert_eq!(lines.next(soon()).unwrap().unwrap(), b"one");
            assert_eq!(lines.next(soon()).unwrap().unwrap(), b"two");
            assert!(lines.next(soon()).is_err());
        }
    }

    #[test]
    fn open_stream_error_has_a_body() {
        let (answer, _) = begun(b"HTTP/1.0 404 Not Found\r\ncontent-length: 4\r\n\r\nnone").unwrap();
        assert_eq!((answer.status(), answer.body()), (404, &b"none"[..]));
        for (answer, why) in [
            ("HTTP/1.0 404 Not Found\r\n\r\nnone", "its answer has no clear length"),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.0 500 No\r\ncontent-length: 1025\r\n\r\n", "its answer is larger than any that we ask for"),
            ("HTTP/2 200\r\n\r\n", "its answer is not HTTP/1.1"),
        ] {
            assert_eq!(begun(answer.as_bytes()).unwrap_err().to_string(), why);
        }
        assert!(matches!(begun(b"HTTP/1.0 200 OK\r\n"), Err(HttpError::Disconnected { received: 17, .. })));
    }
}
