//! The bytes of a request, and the head of a response.

use std::io;

use rolecall_protocol::{
    ENTRY_KEY_HEADER, Endpoint, EntryProof, PROTOCOL_HEADER, PROTOCOL_VERSION, RejectedIdentity, Secret,
    TERMINAL_HEADER, UNAUTHORIZED_HEADER,
};

/// The size limit of a response's head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The start of a response to [`request`].
pub(super) const CALL_VERSIONS: &[&[u8]] = &[b"HTTP/1.1 "];
/// The start of a response to [`request_lines`]: the server chooses the version.
pub(super) const STREAM_VERSIONS: &[&[u8]] = &[b"HTTP/1.0 ", b"HTTP/1.1 "];

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The deadline has passed.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended.
    #[error("the connection broke after {received} bytes of the answer{}", because(.cause.as_ref()))]
    Disconnected {
        /// The number of bytes of the response that had arrived.
        received: usize,
        /// The error of the system; `None` if the peer closed the connection.
        cause: Option<io::Error>,
    },
    /// The response is not one of the daemon.
    #[error("{0}")]
    Invalid(&'static str),
}

fn because(cause: Option<&io::Error>) -> String {
    cause.map(|error| format!(" ({error})")).unwrap_or_default()
}

/// A complete response.
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

    /// The protocol version of the response.
    pub(crate) const fn protocol(&self) -> Option<u32> {
        self.head.protocol
    }

    /// The identity of the profile, if the daemon reports that the cluster rejects it.
    pub(crate) const fn rejected(&self) -> Option<RejectedIdentity> {
        self.head.rejected
    }

    /// The body.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.head.body_at..).unwrap_or_default()
    }

    /// The body, which holds a secret. Wipes the buffer.
    pub(crate) fn into_secret_body(self) -> Secret<Vec<u8>> {
        let buffer = Secret::new(self.buffer);
        Secret::new(buffer.expose().get(self.head.body_at..).unwrap_or_default().to_vec())
    }
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) protocol: Option<u32>,
    pub(super) rejected: Option<RejectedIdentity>,
    pub(super) body_at: usize,
    /// The length of the body, in bytes.
    pub(super) length: Option<usize>,
}

/// The bytes of a request. The path of an [`Endpoint`] has only validated names, so it needs no escaping.
pub(crate) fn request(endpoint: &Endpoint, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(192 + body.len());
    write_request(&mut bytes, endpoint, "", body);
    bytes
}

/// The bytes of a request for a token.
pub(crate) fn token_request(endpoint: &Endpoint, proof: &EntryProof, body: &[u8]) -> Secret<Vec<u8>> {
    let header = Secret::new(match proof {
        EntryProof::Key(key) => [ENTRY_KEY_HEADER, ": ", key.to_text().expose(), "\r\n"].concat(),
        EntryProof::Terminal => [TERMINAL_HEADER, ": 1\r\n"].concat(),
        EntryProof::Absent => String::new(),
    });
    // A buffer that grows leaves copies behind that are not wiped.
    let mut bytes = Secret::new(Vec::with_capacity(512 + body.len()));
    write_request(bytes.expose_mut(), endpoint, header.expose(), body);
    bytes
}

/// Copies the parts. Formatting them would cost kubectl the time to load the code for it.
fn write_request(bytes: &mut Vec<u8>, endpoint: &Endpoint, header: &str, body: &[u8]) {
    let (path, version, length) = (endpoint.path(), PROTOCOL_VERSION.to_string(), body.len().to_string());
    for part in [
        endpoint.method().as_str(),
        " ",
        &path,
        " HTTP/1.1\r\nHost: rolecall\r\n",
        PROTOCOL_HEADER,
        ": ",
        &version,
        "\r\n",
        header,
        "Content-Length: ",
        &length,
        "\r\nConnection: close\r\n\r\n",
    ] {
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(body);
}

/// The bytes of a request for a stream of lines, which lasts until either side closes the connection.
///
/// In HTTP/1.0, which has no chunked encoding: the body lasts until the connection ends, and consists of lines only.
pub(crate) fn request_lines(endpoint: &Endpoint, body: &[u8]) -> Vec<u8> {
    let (method, path) = (endpoint.method().as_str(), endpoint.path());
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: rolecall\r\n{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\n{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Parses the head of a response; `None` if it is not complete yet.
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
    let mut rejected = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(HttpError::Invalid("its answer has a broken header"))?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            // `parse` would accept a sign.
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let parsed = value.parse().ok().filter(|_| digits && length.is_none());
            length = Some(parsed.ok_or(HttpError::Invalid("its answer has no clear length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::Invalid("its answer has no clear length"));
        } else if name.eq_ignore_ascii_case(PROTOCOL_HEADER) {
            protocol = value.parse().ok();
        } else if name.eq_ignore_ascii_case(UNAUTHORIZED_HEADER) {
            rejected = Some(RejectedIdentity::parse(value));
        }
    }
    Ok(Some(Head { status, protocol, rejected, body_at: end + 4, length }))
}
