//! The daemon's socket, without a client.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Nothing that is measured takes as long.
const PATIENCE: Duration = Duration::from_mins(2);

/// A POST that has to succeed, on a connection of its own.
pub(crate) fn post(socket: &Path, path: &str, body: &str) {
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("that is a duration");
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("the daemon reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the daemon answers");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
}
