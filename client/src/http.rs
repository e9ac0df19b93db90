//! As much of HTTP/1.1 as one request and one answer on a Unix socket take.
//!
//! By hand, because this is what kubectl waits for: no runtime, no allocation beyond two buffers, one write and (nearly
//! always) one read. The daemon always sends a `Content-Length`; anything else is not our daemon and is refused. Only an
//! answer that goes on for as long as somebody listens has none: see [`request_lines`].

mod lines;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rolecall_protocol::{Endpoint, PROTOCOL_HEADER, PROTOCOL_VERSION};

use crate::clock::Deadline;

pub(crate) use lines::Lines;

/// The largest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// What one read takes.
const CHUNK: usize = 8 * 1024;

/// What an answer to [`request`] begins with.
const WHOLE: &[&[u8]] = &[b"HTTP/1.1 "];
/// What an answer to [`request_lines`] begins with: the version is the server's to choose.
const STREAMED: &[&[u8]] = &[b"HTTP/1.0 ", b"HTTP/1.1 "];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The time is up.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended. `received` is what had arrived by then, in bytes.
    #[error("the connection broke after {received} bytes of the answer{}", because(.cause.as_ref()))]
    Lost {
        /// Bytes of the answer.
        received: usize,
        /// The system's word, where there was an error rather than an end.
        cause: Option<io::Error>,
    },
    /// What answers does not speak as the daemon does.
    #[error("{0}")]
    Malformed(&'static str),
}

fn because(cause: Option<&io::Error>) -> String {
    cause.map(|error| format!(" ({error})")).unwrap_or_default()
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    head: Head,
    buffer: Vec<u8>,
}

impl Answer {
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
pub(crate) fn request_lines(endpoint: &Endpoint) -> Vec<u8> {
    let (method, path) = (endpoint.method().as_str(), endpoint.path());
    format!("{method} {path} HTTP/1.0\r\nHost: rolecall\r\n{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\n\r\n").into_bytes()
}

/// Sends a request of [`request_lines`] and reads how the answer begins. Of a success that is its head, and the lines
/// are what follows; anything else is read to its end, as [`exchange`] does, and no line follows.
pub(crate) fn begin(
    mut stream: UnixStream,
    request: &[u8],
    max_body: usize,
    deadline: Deadline,
) -> Result<(Answer, Lines), HttpError> {
    send(&mut stream, request, deadline)?;
    let mut buffer = Vec::with_capacity(CHUNK);
    let head = receive_head(&mut stream, &mut buffer, STREAMED, deadline)?;
    if head.status == 200 {
        let begun = buffer.split_off(head.body_at);
        return Ok((Answer { head, buffer }, Lines::new(stream, begun)));
    }
    let answer = receive_body(&mut stream, buffer, head, max_body, deadline)?;
    Ok((answer, Lines::new(stream, Vec::new())))
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
) -> Result<Answer, HttpError> {
    match send(stream, request, deadline) {
        Err(HttpError::Lost { cause, .. }) => receive_early(stream, max_body, deadline, cause),
        Err(other) => Err(other),
        Ok(()) => {
            let mut buffer = Vec::with_capacity(CHUNK);
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
) -> Result<Answer, HttpError> {
    match send(stream, request, deadline) {
        Err(HttpError::Lost { cause, .. }) => receive_early(stream, max_body, deadline, cause),
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
) -> Result<Answer, HttpError> {
    match receive(stream, max_body, deadline) {
        Err(HttpError::Lost { received: 0, .. }) => Err(HttpError::Lost { received: 0, cause }),
        answer => answer,
    }
}

fn send(stream: &mut UnixStream, mut rest: &[u8], deadline: Deadline) -> Result<(), HttpError> {
    while !rest.is_empty() {
        let left = deadline.remaining().ok_or(HttpError::TimedOut)?;
        let lost = |error| HttpError::Lost { received: 0, cause: Some(error) };
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

fn receive(stream: &mut UnixStream, max_body: usize, deadline: Deadline) -> Result<Answer, HttpError> {
    receive_rest(stream, Vec::with_capacity(CHUNK), max_body, deadline)
}

/// Reads an answer of which `buffer` has arrived already.
fn receive_rest(
    stream: &mut UnixStream,
    mut buffer: Vec<u8>,
    max_body: usize,
    deadline: Deadline,
) -> Result<Answer, HttpError> {
    let head = receive_head(stream, &mut buffer, WHOLE, deadline)?;
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
        if buffer.len() > MAX_HEAD {
            return Err(HttpError::Malformed("its answer has a head without end"));
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
) -> Result<Answer, HttpError> {
    let length = head.length.ok_or(HttpError::Malformed("its answer has no clear length"))?;
    if length > max_body {
        return Err(HttpError::Malformed("its answer is larger than any that we ask for"));
    }
    while buffer.len() < head.body_at + length {
        read_some(stream, &mut buffer, deadline)?;
    }
    if buffer.len() > head.body_at + length {
        return Err(HttpError::Malformed("its answer is longer than it says"));
    }
    Ok(Answer { head, buffer })
}

/// Appends what one read brings; the end of the stream is an error, since more is needed.
fn read_some(stream: &mut UnixStream, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<(), HttpError> {
    let mut chunk = [0; CHUNK];
    let lost = |cause| HttpError::Lost { received: buffer.len(), cause };
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
        return Err(HttpError::Malformed("its answer is not HTTP/1.1"));
    }
    let Some(end) = bytes.windows(4).take(MAX_HEAD).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = bytes.get(PREFIX..end).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| HttpError::Malformed("its answer's head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.get(..3).filter(|_| line.len() == 3 || line.as_bytes().get(3) == Some(&b' ')))
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|code| code.parse().ok())
        .ok_or(HttpError::Malformed("its answer has no status"))?;
    let mut length = None;
    let mut protocol = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(HttpError::Malformed("its answer has a broken header"))?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            // Digits alone: `parse` would take a sign.
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let parsed = value.parse().ok().filter(|_| digits && length.is_none());
            length = Some(parsed.ok_or(HttpError::Malformed("its answer has no clear length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::Malformed("its answer has no clear length"));
        } else if name.eq_ignore_ascii_case(PROTOCOL_HEADER) {
            protocol = value.parse().ok();
        }
    }
    Ok(Some(Head { status, protocol, body_at: end + 4, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client makes of `answer`, sent in pieces of `piece` bytes and then closed.
    fn told(answer: &[u8], piece: usize) -> Result<Answer, HttpError> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let answer = answer.to_vec();
        let daemon = std::thread::spawn(move || {
            for part in answer.chunks(piece) {
                if theirs.write_all(part).is_err() {
                    break;
                }
            }
        });
        let result = receive(&mut ours, 1 << 20, Deadline::after(Duration::from_secs(10)));
        drop(ours);
        daemon.join().unwrap();
        result
    }

    fn refused(answer: &[u8]) -> String {
        told(answer, usize::MAX).unwrap_err().to_string()
    }

    #[test]
    fn a_request_is_what_the_daemon_reads() {
        let name = "prod".parse().unwrap();
        assert_eq!(
            String::from_utf8(request(&Endpoint::Token(name), b"{}")).unwrap(),
            "POST /v1/profiles/prod/token HTTP/1.1\r\nHost: rolecall\r\nrolecall-protocol: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        );
    }

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nRolecall-Protocol: 1\r\nx: y:z\r\ncontent-length: 13\r\n\r\n{\"a\":\"\r\n\r\n\"}\n";
        for piece in [1, 2, 3, 7, 50, usize::MAX] {
            let read = told(answer, piece).unwrap();
            assert_eq!((read.status(), read.protocol()), (200, Some(1)));
            assert_eq!(read.body(), b"{\"a\":\"\r\n\r\n\"}\n");
        }
    }

    #[test]
    fn an_answer_without_a_body_or_a_reason_is_one() {
        let read = told(b"HTTP/1.1 404\r\nContent-Length:0\r\n\r\n", usize::MAX).unwrap();
        assert_eq!((read.status(), read.protocol(), read.body()), (404, None, b"".as_slice()));
    }

    #[test]
    fn a_truncated_answer_is_an_error_wherever_it_ends() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde";
        for end in 0..answer.len() {
            match told(&answer[..end], usize::MAX) {
                Err(HttpError::Lost { received, .. }) => assert_eq!(received, end),
                other => panic!("{end}: {other:?}"),
            }
        }
        assert_eq!(refused(&answer[..40]), "the connection broke after 40 bytes of the answer");
    }

    #[test]
    fn hostile_answers_are_refused() {
        for (answer, why) in [
            ("SSH-2.0-OpenSSH_9.6\r\n", "its answer is not HTTP/1.1"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "its answer is not HTTP/1.1"),
            ("\u{0}\u{1}\u{2}", "its answer is not HTTP/1.1"),
            ("HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
            ("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
            ("HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
            ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "its answer has a broken header"),
            ("HTTP/1.1 200 OK\r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "its answer has no clear length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "its answer has no clear length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1",
                "its answer has no clear length",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", "its answer is larger than any that we ask for"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", "its answer is longer than it says"),
        ] {
            assert_eq!(refused(answer.as_bytes()), why, "{answer:?}");
        }
        assert_eq!(refused(b"HTTP/1.1 200 \xff\r\n\r\n"), "its answer's head is not text");
        let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(1 << 16));
        assert_eq!(refused(endless.as_bytes()), "its answer has a head without end");
    }

    #[test]
    fn row_18_a_silent_daemon_is_left_at_the_deadline() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let daemon = std::thread::spawn(move || {
            // One byte at a time, for ever: the deadline counts from the start, not from the last byte.
            for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
                if theirs.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let result = receive(&mut ours, 1 << 20, Deadline::after(Duration::from_millis(60)));
        assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
        drop(ours);
        daemon.join().unwrap();
    }

    #[test]
    fn row_18_who_is_silent_for_a_moment_is_given_up_only_where_it_is_hopeless() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let ask = |ours: &mut UnixStream, limit, moment, is_hopeless: &dyn Fn() -> bool| {
            let deadline = Deadline::after(Duration::from_millis(limit));
            exchange_unless(ours, b"x", 1 << 10, deadline, Duration::from_millis(moment), is_hopeless)
        };
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let begun = Deadline::after(Duration::from_secs(5));
        let result = ask(&mut ours, 10_000, 20, &|| true);
        assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
        assert!(begun.remaining().is_some(), "it has waited for the deadline");
        let result = ask(&mut ours, 60, 20, &|| false);
        assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
        // An answer that comes late is waited for; at the first of one that comes soon, nobody looks.
        let late = || {
            (&theirs).write_all(ANSWER).unwrap();
            false
        };
        assert_eq!(ask(&mut ours, 5_000, 20, &late).unwrap().status(), 200);
        theirs.write_all(&ANSWER[..9]).unwrap();
        let rest = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            theirs.write_all(&ANSWER[9..]).unwrap();
            theirs
        });
        let answer = ask(&mut ours, 5_000, 20, &|| panic!("it has begun to answer")).unwrap();
        assert_eq!(answer.status(), 200);
        drop(rest.join().unwrap());
        let result = ask(&mut ours, 5_000, 20, &|| true);
        assert!(matches!(result, Err(HttpError::Lost { received: 0, .. })), "{result:?}");
    }

    #[test]
    fn an_early_refusal_is_heard() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        theirs.shutdown(std::net::Shutdown::Read).unwrap();
        let body = vec![b'x'; 1 << 20];
        let answer = exchange(&mut ours, &body, 1 << 20, Deadline::after(Duration::from_secs(5))).unwrap();
        assert_eq!(answer.status(), 413);
    }
}
