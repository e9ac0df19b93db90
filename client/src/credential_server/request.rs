//! Decides whether a request gets the session. Every refusal is the same answer, so that it tells nothing.

use rolecall_protocol::Secret;
use subtle::ConstantTimeEq;

/// The path of the endpoint.
pub(super) const PATH: &str = "/credentials";
/// The size limit of a request's head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// Headers that browsers and proxies send, and AWS's SDKs do not.
const FOREIGN_HEADERS: [&str; 9] =
    ["origin", "referer", "cookie", "purpose", "via", "forwarded", "x-real-ip", "x-client-ip", "client-ip"];
/// The beginnings of further ones.
const FOREIGN_PREFIXES: [&str; 5] = ["sec-", "access-control-", "upgrade", "proxy-", "x-forwarded-"];

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
        let is_foreign = |name: &str| {
            let name = name.to_ascii_lowercase();
            FOREIGN_HEADERS.contains(&name.as_str()) || FOREIGN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        let has_body = request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("transfer-encoding")
                || header.name.eq_ignore_ascii_case("content-length") && header.value != b"0"
        });
        is_authorized
            && request.method == Some("GET")
            && request.path == Some(PATH)
            && only("host") == Some(self.host.as_bytes())
            && !has_body
            && !request.headers.iter().any(|header| is_foreign(header.name))
    }

    /// Whether a value is the token. Takes the same time for each value of the token's length.
    fn is_token(&self, value: &[u8]) -> bool {
        self.token.expose().as_bytes().ct_eq(value).into()
    }
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
            "User-Agent: Boto3/1\r\nAccept: application/json\r\n",
            "content-length: 0\r\n",
            "Connection: close\r\n",
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
        let long = format!("{LINE}\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
        assert_eq!(decide(&long), Decision::Refused);
        assert_eq!(with_headers(LINE, &"X: y\r\n".repeat(MAX_HEADERS + 1)), Decision::Refused);
    }
}
