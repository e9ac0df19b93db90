//! Decides whether a request gets the session. Every refusal is the same answer, so that it tells nothing.

use rolecall_protocol::Secret;
use subtle::ConstantTimeEq;

/// The path of the endpoint.
pub(super) const PATH: &str = "/credentials";
/// The size limit of a request's head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// The headers that AWS's SDKs and curl send (measured with boto3, Java, Node and curl; Go, Rust, .NET and Ruby by their sources), and
/// those that OpenTelemetry and X-Ray add to the requests of a process. A browser or a proxy adds others.
const KNOWN_HEADERS: [&str; 23] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "amz-sdk-retry",
    "authorization",
    "baggage",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "correlation-context",
    "host",
    "keep-alive",
    "pragma",
    "request-id",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-amz-user-agent",
    "x-amzn-trace-id",
];

/// What a request has to present.
pub(super) struct Expected {
    /// `127.0.0.1` and the port: the name of a web page that resolves to this address is another one (DNS rebinding).
    pub(super) host: String,
    /// The value of `Authorization`.
    pub(super) token: Secret<String>,
}

/// What a head of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is not complete yet.
    Incomplete,
    /// It gets no session.
    Refused,
    /// It gets the session.
    Allowed,
}

impl Expected {
    /// Decides about a request whose first bytes are `head`.
    pub(super) fn decide(&self, head: &[u8]) -> Decision {
        // The parser accepts it, and a proxy may read such a head in another way.
        if has_bare_line_feed(head) {
            return Decision::Refused;
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() && self.allows(&request) => {
                Decision::Allowed
            }
            Ok(httparse::Status::Partial) if head.len() < MAX_HEAD_BYTES => Decision::Incomplete,
            _ => Decision::Refused,
        }
    }

    fn allows(&self, request: &httparse::Request<'_, '_>) -> bool {
        let only = |name: &str| {
            let mut values = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let value = values.next().map(|header| header.value);
            value.filter(|_| values.next().is_none())
        };
        // Compared first, and for every request: what else is wrong with it does not change the time.
        let is_authorized = self.is_token(only("authorization").unwrap_or_default());
        let is_known = |name: &str| KNOWN_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let has_body = request
            .headers
            .iter()
            .any(|header| header.name.eq_ignore_ascii_case("content-length") && header.value != b"0");
        is_authorized
            && request.method == Some("GET")
            && request.path == Some(PATH)
            && only("host") == Some(self.host.as_bytes())
            && !has_body
            && request.headers.iter().all(|header| is_known(header.name))
    }

    /// Whether a value is the token. Takes the same time for each value of the token's length.
    fn is_token(&self, value: &[u8]) -> bool {
        self.token.expose().as_bytes().ct_eq(value).into()
    }
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    head.first() == Some(&b'\n') || head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "127.0.0.1:4711";
    const TOKEN: &str = "5ec7e7";

    fn decide(request: &str) -> Decision {
        let expected = Expected { host: HOST.to_owned(), token: Secret::new(TOKEN.to_owned()) };
        expected.decide(request.as_bytes())
    }

    fn with_headers(line: &str, headers: &str) -> Decision {
        decide(&format!("{line}\r\n{headers}\r\n"))
    }

    const LINE: &str = "GET /credentials HTTP/1.1";

    #[test]
    fn request_of_an_sdk_is_allowed() {
        for more in [
            "",
            "Accept-Encoding: identity\r\nUser-Agent: python-urllib3/2.7.0\r\nAccept: application/json\r\n",
            "content-length: 0\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive\r\nAccept: */*\r\nUser-Agent: aws-sdk-java/2\r\n",
            "Amz-Sdk-Request: attempt=1; max=3\r\nAmz-Sdk-Invocation-Id: 1\r\nAccept-Encoding: gzip\r\n",
            "traceparent: 00-1-1-00\r\nX-Amzn-Trace-Id: Root=1\r\n",
        ] {
            let headers = format!("{more}HOST: {HOST}\r\nauthorization: {TOKEN}\r\n");
            assert_eq!(with_headers(LINE, &headers), Decision::Allowed, "{headers}");
        }
    }

    /// Fault matrix row 100.
    #[test]
    fn request_without_the_token_is_refused() {
        for authorization in [
            String::new(),
            "Authorization: \r\n".to_owned(),
            format!("Authorization: {}\r\n", &TOKEN[..5]),
            format!("Authorization: {TOKEN}0\r\n"),
            format!("Authorization: {}\r\n", TOKEN.to_uppercase()),
            format!("Authorization: Bearer {TOKEN}\r\n"),
            format!("Authorization: {TOKEN}\r\nAuthorization: {TOKEN}\r\n"),
            format!("X-Authorization: {TOKEN}\r\n"),
        ] {
            assert_eq!(
                with_headers(LINE, &format!("Host: {HOST}\r\n{authorization}")),
                Decision::Refused,
                "{authorization}"
            );
        }
        assert_eq!(
            with_headers(&format!("GET /credentials?token={TOKEN} HTTP/1.1"), &format!("Host: {HOST}\r\n")),
            Decision::Refused
        );
    }

    /// Fault matrix row 101.
    #[test]
    fn request_of_a_browser_or_another_path_is_refused() {
        let good = format!("Host: {HOST}\r\nAuthorization: {TOKEN}\r\n");
        for host in ["evil.com", "localhost:4711", "127.0.0.1", "127.0.0.1:4712", "[::1]:4711", "127.0.0.1:4711.", ""] {
            let headers = format!("Host: {host}\r\nAuthorization: {TOKEN}\r\n");
            assert_eq!(with_headers(LINE, &headers), Decision::Refused, "{host}");
        }
        assert_eq!(with_headers(LINE, &format!("Authorization: {TOKEN}\r\n")), Decision::Refused);
        assert_eq!(with_headers(LINE, &format!("{good}Host: {HOST}\r\n")), Decision::Refused);
        for more in [
            "Origin: http://127.0.0.1:4711",
            "Origin: null",
            "Referer: http://x/",
            "Sec-Fetch-Mode: cors",
            "Sec-CH-UA: x",
            "Sec-WebSocket-Key: x",
            "Access-Control-Request-Private-Network: true",
            "Upgrade: h2c",
            "Upgrade-Insecure-Requests: 1",
            "Purpose: prefetch",
            "Proxy-Connection: close",
            "X-Real-IP: 127.0.0.1",
            "sec-fetch-site: same-origin",
            "X-Forwarded-For: 127.0.0.1",
            "x-forwarded-host: x",
            "Forwarded: for=x",
            "Via: 1.1 proxy",
            "Cookie: a=b",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "CF-Connecting-IP: 127.0.0.1",
            "True-Client-IP: 127.0.0.1",
            "Fastly-Client-IP: 127.0.0.1",
            "X-Envoy-External-Address: 127.0.0.1",
            "X-Original-URL: /",
            "Expect: 100-continue",
            "Early-Data: 1",
            "X-Unknown: 1",
        ] {
            assert_eq!(with_headers(LINE, &format!("{good}{more}\r\n")), Decision::Refused, "{more}");
        }
        for line in [
            "POST /credentials HTTP/1.1",
            "HEAD /credentials HTTP/1.1",
            "OPTIONS /credentials HTTP/1.1",
            "get /credentials HTTP/1.1",
            "GET / HTTP/1.1",
            "GET //credentials HTTP/1.1",
            "GET /credentials/ HTTP/1.1",
            "GET /%63redentials HTTP/1.1",
            "GET /x/%2e%2e/credentials HTTP/1.1",
            "GET /x/../credentials HTTP/1.1",
            "GET /credentials? HTTP/1.1",
            "GET http://127.0.0.1:4711/credentials HTTP/1.1",
            "GET /credentials HTTP/2",
            "GET /credentials",
        ] {
            assert_eq!(with_headers(line, &good), Decision::Refused, "{line}");
        }
    }

    #[test]
    fn request_is_read_to_the_end_of_its_head() {
        let good = format!("{LINE}\r\nHost: {HOST}\r\nAuthorization: {TOKEN}\r\n\r\n");
        for length in 0..good.len() {
            assert_eq!(decide(&good[..length]), Decision::Incomplete, "{length}");
        }
        assert_eq!(decide(&good), Decision::Allowed);
        // A second request, or a body.
        assert_eq!(decide(&format!("{good}GET")), Decision::Refused);
        // A line that ends without a carriage return.
        for bare in [good.replace("\r\n", "\n"), good.replacen("\r\n", "\n", 1), good.replacen("\r\n\r", "\n\r", 1)] {
            assert_eq!(decide(&bare), Decision::Refused, "{bare:?}");
        }
        assert_eq!(decide(&format!("\n{good}")), Decision::Refused);
        let long = format!("{LINE}\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
        assert_eq!(decide(&long), Decision::Refused);
        assert_eq!(with_headers(LINE, &"X: y\r\n".repeat(MAX_HEADERS + 1)), Decision::Refused);
    }
}
