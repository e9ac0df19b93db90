//! Requests to the socket of the daemon, without the client.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::fixture::EXEC_INFO;

/// Longer than any measured request.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// Returns a request for a token as `rolecall token` sends it.
pub(crate) fn token_request(profile: &str, closes: bool) -> Vec<u8> {
    let connection = if closes { "Connection: close\r\n" } else { "" };
    // The daemon serves a token without a cluster to a client with the entry key, or at a terminal.
    format!(
        "POST /v1/profiles/{profile}/token HTTP/1.1\r\nHost: rolecall\r\nrolecall-protocol: 1\r\nrolecall-terminal: 1\r\n\
         Content-Length: {}\r\n{connection}\r\n{EXEC_INFO}",
        EXEC_INFO.len()
    )
    .into_bytes()
}

/// Sends a request on a new connection. Returns the body of the response. Panics unless the status is 200.
pub(crate) fn exchange(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    stream.set_read_timeout(Some(READ_TIMEOUT)).expect("the timeout is valid");
    stream.write_all(request).expect("the daemon reads the request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("the daemon responds");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    let (_head, body) = response.split_once("\r\n\r\n").expect("a response has a head");
    body.to_owned()
}
