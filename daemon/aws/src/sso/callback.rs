//! The one request of a browser that comes back (RFC 8252, 7.3): read with distrust, since every page that the person has
//! open can send one here too.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use percent_encoding::percent_decode_str;
use rolecall_protocol::{Secret, sanitize_for_terminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Where it comes to.
pub(super) const PATH: &str = "/oauth/callback";
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// The most headers that a browser sends.
const MAX_HEADERS: usize = 64;
/// How long a connection may take for its request, and for the answer to it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing is accepted after that has failed: too many open files do not go by at once.
const BREATHER: Duration = Duration::from_millis(50);
/// The most connections at once.
const MAX_CONNECTIONS: usize = 16;

/// The request that was waited for. Its connection is open still, for [`Called::answer`].
pub(super) struct Called {
    /// The code, or why there is none.
    pub(super) outcome: Result<Secret<String>, Refusal>,
    stream: TcpStream,
}

/// What the page said instead of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A word of RFC 6749, 4.1.2.1. Safe for a terminal.
    pub(super) error: String,
    /// What it means. Safe for a terminal.
    pub(super) description: String,
}

/// What there is to a request.
#[derive(Debug)]
enum Seen {
    /// It goes on.
    Part,
    /// It is not what we wait for.
    ProfileError(&'static str),
    /// It is.
    Right(Result<Secret<String>, Refusal>),
}

/// Waits for the request that bears our `state`. All others are turned away, and change nothing.
pub(super) async fn wait(listener: TcpListener, state: &Secret<String>) -> std::io::Result<Called> {
    let port = listener.local_addr()?.port();
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            (stream, _) = accepted(|| listener.accept()), if open.len() < MAX_CONNECTIONS => {
                let state = Secret::new(state.expose().clone());
                open.spawn(async move { timeout(PATIENCE, receive(stream, port, &state)).await.ok().flatten() });
            }
            Some(ended) = open.join_next() => {
                if let Ok(Some(called)) = ended {
                    return Ok(called);
                }
            }
        }
    }
}

/// The next connection. One that is gone already is no matter; where none can be had, it is tried again and again.
async fn accepted<T, F: Future<Output = std::io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::debug!(%error, "a connection of the browser cannot be accepted");
                sleep(BREATHER).await;
            }
        }
    }
}

/// Reads a request, and answers it unless it is the right one.
async fn receive(mut stream: TcpStream, port: u16, state: &Secret<String>) -> Option<Called> {
    let mut head = Secret::new(Vec::new());
    loop {
        let mut more = [0; 1024];
        let size = stream.read(&mut more).await.ok().filter(|size| *size > 0)?;
        head = Secret::new([head.expose().as_slice(), &more[..size]].concat());
        match read(head.expose(), port, state) {
            Seen::Right(outcome) => return Some(Called { outcome, stream }),
            Seen::Part if head.expose().len() < MAX_HEAD => {}
            Seen::Part => return refuse(stream, "431 Request Header Fields Too Large").await,
            Seen::ProfileError(status) => return refuse(stream, status).await,
        }
    }
}

async fn refuse(stream: TcpStream, status: &str) -> Option<Called> {
    write(stream, status, "Not what is waited for here", "Nothing was changed.").await;
    None
}

/// Looks at what has come of a request so far.
fn read(head: &[u8], port: u16, state: &Secret<String>) -> Seen {
    const BAD: Seen = Seen::ProfileError("400 Bad Request");
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(status) if status.is_complete() => {}
        Ok(_) => return Seen::Part,
        Err(_) => return BAD,
    }
    // A page of another site that has made its name lead here is still another site (DNS rebinding).
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let ours = format!("{}:{port}", Ipv4Addr::LOCALHOST);
    if hosts.next().is_none_or(|host| host.value != ours.as_bytes()) || hosts.next().is_some() {
        return BAD;
    }
    let (path, query) =
        request.path.unwrap_or_default().split_once('?').unwrap_or((request.path.unwrap_or_default(), ""));
    if request.method != Some("GET") || path != PATH {
        return Seen::ProfileError("404 Not Found");
    }
    let (given, code, error) = (parameter(query, "state"), parameter(query, "code"), parameter(query, "error"));
    let is_ours =
        |given: &Secret<String>| verify_slices_are_equal(given.expose().as_bytes(), state.expose().as_bytes()).is_ok();
    if !given.is_some_and(|given| is_ours(&given)) {
        return BAD;
    }
    match (code, error) {
        (Some(code), None) if !code.expose().is_empty() => Seen::Right(Ok(code)),
        (None, Some(error)) => {
            let description = parameter(query, "error_description").unwrap_or_else(|| Secret::new(String::new()));
            let plain = |text: &Secret<String>| sanitize_for_terminal(text.expose()).chars().take(200).collect();
            Seen::Right(Err(Refusal { error: plain(&error), description: plain(&description) }))
        }
        _ => BAD,
    }
}

/// The one value that a query has for a name, decoded.
fn parameter(query: &str, name: &str) -> Option<Secret<String>> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    // A form writes a space as a plus.
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|value| Secret::new(value.into_owned()))
}

impl Called {
    /// Tells the person what came of it.
    pub(super) async fn answer(self, title: &str, text: &str) {
        write(self.stream, "200 OK", title, text).await;
    }
}

async fn write(mut stream: TcpStream, status: &str, title: &str, text: &str) {
    let (title, text) = (escaped(title), escaped(text));
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:1.1em/1.5 sans-serif;max-width:32em;margin:20vh auto;padding:0 1em}}</style></head>\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\
         x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let send = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whether the person reads it is no matter for the login.
    let _ = timeout(PATIENCE, send).await;
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 4711;

    fn seen(request: &str) -> String {
        match read(request.as_bytes(), PORT, &Secret::new("st".to_owned())) {
            Seen::Part => "part".to_owned(),
            Seen::ProfileError(status) => status[..3].to_owned(),
            Seen::Right(Ok(code)) => format!("code {}", code.expose()),
            Seen::Right(Err(refusal)) => format!("{}: {}", refusal.error, refusal.description),
        }
    }

    fn get(target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nUser-Agent: x\r\n\r\n")
    }

    #[test]
    fn the_code_comes_with_our_state_alone() {
        for (target, expected) in [
            ("/oauth/callback?code=a%2Fb%3D&state=st", "code a/b="),
            ("/oauth/callback?state=st&code=c&more=1", "code c"),
            ("/oauth/callback?code=c&state=ST", "400"),
            ("/oauth/callback?code=c&state=s", "400"),
            ("/oauth/callback?code=c&state=stt", "400"),
            ("/oauth/callback?code=c&state=st&state=st", "400"),
            ("/oauth/callback?code=c&code=d&state=st", "400"),
            ("/oauth/callback?code=&state=st", "400"),
            ("/oauth/callback?code=%FF&state=st", "400"),
            ("/oauth/callback?state=st", "400"),
            ("/oauth/callback?code=c", "400"),
            ("/oauth/callback", "400"),
            ("/oauth/callback/?code=c&state=st", "404"),
            ("/favicon.ico", "404"),
            ("/", "404"),
            (
                "/oauth/callback?error=access_denied&error_description=no+%1B%5B31mway&state=st",
                "access_denied: no \\u{1b}[31mway",
            ),
            ("/oauth/callback?error=access_denied&state=other", "400"),
            ("/oauth/callback?error=x&code=c&state=st", "400"),
        ] {
            assert_eq!(seen(&get(target)), expected, "{target}");
        }
    }

    #[test]
    fn only_a_browser_that_was_sent_here_is_heard() {
        let good = get("/oauth/callback?code=c&state=st");
        for (request, expected) in [
            (good.replace("GET", "POST"), "404"),
            (good.replace("Host: 127.0.0.1:4711", "Host: evil.example:4711"), "400"),
            (good.replace("Host: 127.0.0.1:4711", "Host: localhost:4711"), "400"),
            (good.replace("Host: 127.0.0.1:4711\r\n", ""), "400"),
            (good.replace("User-Agent: x", "Host: 127.0.0.1:4711"), "400"),
            (good.replace("HTTP/1.1", "HTTP/9"), "400"),
            ("\u{1}\u{2}\r\n\r\n".to_owned(), "400"),
        ] {
            assert_eq!(seen(&request), expected, "{request}");
        }
        for end in 0..good.len() {
            assert_eq!(seen(&good[..end]), "part", "{}", &good[..end]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_can_be_accepted_it_is_tried_again_after_a_while() {
        let (mut tries, begin) = (0, tokio::time::Instant::now());
        let connection = accepted(|| {
            tries += 1;
            let too_many = std::io::Error::from_raw_os_error(24); // EMFILE
            std::future::ready(if tries <= 20 { Err(too_many) } else { Ok("connection") })
        });
        assert_eq!((connection.await, begin.elapsed(), tries), ("connection", Duration::from_secs(1), 21));
    }

    #[tokio::test]
    async fn strangers_are_turned_away_and_the_browser_is_heard() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = tokio::spawn(async move { wait(listener, &Secret::new("st".to_owned())).await });
        let call = async |request: String| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        };
        let port = address.port();
        let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        let silent = TcpStream::connect(address).await.unwrap();
        assert!(call(request("/")).await.starts_with("HTTP/1.1 404 "));
        assert!(call(request("/oauth/callback?code=c&state=wrong")).await.starts_with("HTTP/1.1 400 "));
        let long = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD));
        assert!(call(long).await.starts_with("HTTP/1.1 431 "));
        let answered = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /oauth/callback?code=c&state=st HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        });
        let called = waiting.await.unwrap().unwrap();
        assert_eq!(called.outcome.as_ref().unwrap().expose(), "c");
        called.answer("It is <done>", "Close this \"tab\".").await;
        let page = answered.await.unwrap();
        assert!(page.contains("<h1>It is &lt;done&gt;</h1><p>Close this &quot;tab&quot;.</p>"), "{page}");
        assert!(TcpStream::connect(address).await.is_err(), "it listens no longer");
        drop(silent);
    }
}
