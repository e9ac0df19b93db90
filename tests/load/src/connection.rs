//! One connection, with blocking reads and writes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any measured request.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Larger than any measured response.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// A connection to the measured server.
pub(crate) struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the server listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is valid");
        Self { stream, buffer: vec![0; MAX_RESPONSE_BYTES] }
    }

    pub(crate) fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the server reads");
    }

    /// Reads one response. Panics unless its status is 200.
    pub(crate) fn receive(&mut self) {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).expect("the server responds");
            assert!(read > 0, "the server closed the connection: {}", self.text(filled));
            filled += read;
            if response_bytes(&self.buffer[..filled]).is_some_and(|length| length <= filled) {
                break;
            }
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200 "), "{}", self.text(filled));
    }

    fn text(&self, filled: usize) -> String {
        String::from_utf8_lossy(&self.buffer[..filled]).into_owned()
    }
}

/// Returns the length of the response once its head is complete.
fn response_bytes(received: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let head = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = received[..head].split(|byte| *byte == b'\n');
    let value = lines.filter_map(|line| line.split_at_checked(NAME.len())).find_map(|(name, value)| {
        let value = name.eq_ignore_ascii_case(NAME).then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok()
    });
    Some(head + value.expect("the response has a length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_ends_after_its_content_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ndate: x\r\n\r\nab";
        assert_eq!(response_bytes(response), Some(response.len()));
        assert_eq!(response_bytes(&response[..response.len() - 1]), Some(response.len()), "the body is incomplete");
        assert_eq!(response_bytes(&response[..30]), None, "the head is incomplete");
    }
}
