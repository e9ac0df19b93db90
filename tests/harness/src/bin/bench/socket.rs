//! Requests to the socket of the daemon, without the client.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any measured request.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// Sends a POST on a new connection. Panics unless the status is 200.
pub(crate) fn post(socket: &Path, path: &str, body: &str) {
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(READ_TIMEOUT)).expect("the timeout is valid");
    let length = body.len();
    // The daemon serves a token without a cluster to a client with the entry key, or at a terminal.
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nrolecall-terminal: 1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("the daemon reads the request");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("the daemon responds");
    let response = String::from_utf8_lossy(&response);
    assert!(response.starts_with("HTTP/1.1 200 "), "{path}: {response}");
}
