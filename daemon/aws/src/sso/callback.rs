//! The HTTP server for the redirect that ends a login in the browser (RFC 8252, 7.3).
//!
//! Any web page that the user has open can send requests here. Only a GET request for the callback path with our `Host` and
//! our `state` ends the login. Every other request gets an error page and changes nothing. Nothing keeps the browser out:
//! connections of other users are closed at once (C2), and of those of the user, the oldest one makes room for a new one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use rolecall_loopback::{PeerUser, peer_user};
use rolecall_protocol::{Secret, sanitize_for_terminal};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The path of the redirect URI.
pub(super) const PATH: &str = "/oauth/callback";
/// The largest head of a request, in bytes. It is also the smallest limit that hyper accepts.
const MAX_HEAD: usize = 8 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// How long a connection may take to send the head of its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may last. This includes the exchange of the code for a token, which the response waits for.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause after a failed accept: a lack of file descriptors lasts a while.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// The most connections at the same time.
const MAX_CONNECTIONS: usize = 64;

/// The request that ends the login. The browser waits for [`CallbackRequest::respond`].
pub(super) struct CallbackRequest {
    /// The code, or why there is none.
    pub(super) outcome: Result<Secret<String>, ErrorRedirect>,
    page: oneshot::Sender<Response<Full<Bytes>>>,
}

/// An error response of the authorization server (RFC 6749, 4.1.2.1). Safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorRedirect {
    /// The error code, such as `access_denied`.
    pub(super) error: String,
    /// The text for the developer.
    pub(super) description: String,
}

/// What tells the redirect from other requests.
struct Expected {
    host: String,
    state: Secret<String>,
}

/// Serves requests until one ends the login. Its connection continues; the listener is closed.
pub(super) async fn wait(listener: TcpListener, state: &Secret<String>) -> io::Result<CallbackRequest> {
    let host = format!("{}:{}", Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
    let expected = Arc::new(Expected { host, state: Secret::new(state.expose().clone()) });
    let (found, mut redirect) = mpsc::channel(1);
    let mut open = VecDeque::new();
    loop {
        let next = async {
            loop {
                let (stream, _) = accept(|| listener.accept()).await;
                if is_admitted(&stream) {
                    return stream;
                }
            }
        };
        tokio::select! {
            biased; // the connection of the redirect must not make room for another one
            Some(request) = redirect.recv() => return Ok(request),
            stream = next => {
                make_room(&mut open);
                let connection = serve(stream, Arc::clone(&expected), found.clone());
                open.push_back(tokio::spawn(async move {
                    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
                }));
            }
        }
    }
}

/// Closes the oldest connection if there are as many as allowed: a browser sends its request at once.
fn make_room(open: &mut VecDeque<JoinHandle<()>>) {
    open.retain(|connection| !connection.is_finished());
    if open.len() >= MAX_CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}

/// Whether a connection is of the daemon's user or of root: relays to a browser outside this machine run as root (WSL). Where the
/// system does not report the user, every connection is admitted.
fn is_admitted(stream: &TcpStream) -> bool {
    let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else { return false };
    let user = peer_user(peer, own);
    let is_admitted = match user {
        PeerUser::User(uid) => uid == 0 || uid == rustix::process::geteuid().as_raw(),
        PeerUser::Unknown => false,
        PeerUser::Unsupported => true,
    };
    if !is_admitted {
        tracing::warn!(?user, "callback connection of another user closed");
    }
    is_admitted
}

/// Accepts the next connection, and tries again after an error.
async fn accept<T, F: Future<Output = io::Result<T>>>(mut try_accept: impl FnMut() -> F) -> T {
    loop {
        match try_accept().await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::debug!(%error, "callback connection not accepted");
                sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

/// Serves one request of a connection. Sends it to `found` if it ends the login, and waits for its page then.
async fn serve(stream: TcpStream, expected: Arc<Expected>, found: mpsc::Sender<CallbackRequest>) {
    let service = service_fn(|request| {
        let (outcome, found) = (read(&request, &expected), found.clone());
        async move {
            let page = match outcome {
                Ok(outcome) => {
                    let (page, response) = oneshot::channel();
                    // The receiver is gone if another request has ended the login, or if the login was cancelled.
                    drop(found.send(CallbackRequest { outcome, page }).await);
                    response.await.map_err(|_| StatusCode::GONE)
                }
                Err(status) => Err(status),
            };
            Ok::<_, Infallible>(page.unwrap_or_else(|status| {
                html(status, "Unexpected request", "This request does not belong to the login. Nothing was changed.")
            }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new()) // hyper ignores its timeout without a timer
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "callback connection failed");
    }
}

/// Reads the outcome of the login from a request. Errors with a status if the request is not the redirect.
fn read<B>(request: &Request<B>, expected: &Expected) -> Result<Result<Secret<String>, ErrorRedirect>, StatusCode> {
    // A page whose own name resolves to this address is still another site (DNS rebinding).
    let mut hosts = request.headers().get_all(HOST).iter();
    if hosts.next().is_none_or(|host| host != expected.host.as_str()) || hosts.next().is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    if request.method() != Method::GET || request.uri().authority().is_some() || request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    let query = request.uri().query().unwrap_or_default();
    let state = parameter(query, "state").ok_or(StatusCode::BAD_REQUEST)?;
    verify_slices_are_equal(state.expose().as_bytes(), expected.state.expose().as_bytes())
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    match (parameter(query, "code"), parameter(query, "error")) {
        (Some(code), None) if !code.expose().is_empty() => Ok(Ok(code)),
        (None, Some(error)) => {
            let description = parameter(query, "error_description").unwrap_or_else(|| Secret::new(String::new()));
            let safe = |text: &Secret<String>| sanitize_for_terminal(text.expose()).chars().take(200).collect();
            Ok(Err(ErrorRedirect { error: safe(&error), description: safe(&description) }))
        }
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// The decoded value of a parameter; `None` if the query does not have it exactly once.
fn parameter(query: &str, name: &str) -> Option<Secret<String>> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    // Forms encode a space as a plus sign.
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|value| Secret::new(value.into_owned()))
}

impl CallbackRequest {
    /// Shows a page in the browser. A browser that has closed the connection does not matter for the login.
    pub(super) fn respond(self, title: &str, text: &str) {
        let _ = self.page.send(html(StatusCode::OK, title, text));
    }
}

fn html(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    let (title, text) = (escape(title), escape(text));
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:1.1em/1.5 sans-serif;max-width:32em;margin:20vh auto;padding:0 1em}}</style></head>\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "no-referrer");
    // `body` errors for invalid header values only; these are valid.
    response.body(Full::from(page)).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests;
