//! HTTP/1.1 over the Unix socket: who may connect, how much is read, how long it may take, and which handler answers.
//!
//! A connection goes `accept → authorized → limits → hyper → route → endpoint`. Each step can only make the rest
//! unnecessary; none knows the next but by its type.

mod answer;
mod endpoints;
pub mod guard;
mod peer;
mod route;
pub mod socket;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use peer::AuthorizedStream;

/// A request's head has to be here in this time, counted from the connection or the answer before it (L1).
const HEAD: Duration = Duration::from_secs(2);
/// A request's head may be this large, in bytes (L2; hyper's least is 8,192).
const MAX_HEAD: usize = 8 * 1024;
/// And have this many headers (L2).
const MAX_HEADERS: usize = 32;
/// Connections at once (L3); kubectl-driven tools open hundreds.
const MAX_CONNECTIONS: usize = 1024;
/// An answer has to be taken in this time, from one write to the next (L1): a peer that does not read is nobody's guest.
const WRITE: Duration = Duration::from_secs(5);
/// File descriptors that are kept back for AWS, files and children (L3).
const RESERVED: u64 = 64;
/// What is under way may take this long to finish when the daemon stops (B12).
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait when the process has no file descriptor left; an accept that fails at once would spin.
const BREATHER: Duration = Duration::from_millis(50);
/// The answer to one connection too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nrolecall-protocol: 1\r\n\
    connection: close\r\ncontent-length: 117\r\n\r\n\
    {\"error\":{\"code\":\"unavailable\",\"message\":\"the daemon has too many callers at once\",\"hint\":\"Try again in a moment.\"}}\n";

/// What every handler gets.
#[derive(Clone)]
pub struct Context {
    /// Whom to ask.
    pub agent: Arc<Agent>,
    /// Ends the daemon.
    pub stop: CancellationToken,
}

/// Serves until `stop`, then finishes what is under way, for at most five seconds.
pub async fn serve(listener: UnixListener, agent: Arc<Agent>, stop: CancellationToken) {
    let context = Context { agent, stop: stop.clone() };
    let places = Arc::new(Semaphore::new(places()));
    let graceful = GracefulShutdown::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                greet(stream, &places, &context, &graceful);
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "Connections cannot be accepted");
                }
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    tracing::info!("Stopping");
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("Some answers were not finished in {} s", DRAIN.as_secs());
    }
}

fn greet(stream: UnixStream, places: &Arc<Semaphore>, context: &Context, graceful: &GracefulShutdown) {
    let stream = match AuthorizedStream::check(stream) {
        Ok(stream) => stream,
        Err(denied) => return tracing::warn!(peer.uid = denied.uid, "A peer was turned away"),
    };
    match Arc::clone(places).try_acquire_owned() {
        Ok(place) => converse(stream, place, context.clone(), graceful),
        Err(_) => {
            tokio::spawn(turn_away(stream));
        }
    }
}

fn converse(stream: AuthorizedStream, place: OwnedSemaphorePermit, context: Context, graceful: &GracefulShutdown) {
    let peer = stream.peer();
    let service = service_fn(move |request| {
        let context = context.clone();
        async move { Ok::<_, std::convert::Infallible>(route::answer(&context, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new()) // without one, hyper's header timeout is off
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(bounded(stream)), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "A connection ended early");
        }
        drop(place);
    });
}

/// As many as there are file descriptors for.
fn places() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(MAX_CONNECTIONS).clamp(8, MAX_CONNECTIONS)
}

/// The connection, with a deadline on every write; hyper has one for reading alone.
fn bounded(stream: AuthorizedStream) -> Pin<Box<TimeoutStream<UnixStream>>> {
    let mut stream = TimeoutStream::new(stream.into_inner());
    stream.set_write_timeout(Some(WRITE));
    Box::pin(stream)
}

async fn turn_away(stream: AuthorizedStream) -> io::Result<()> {
    let mut stream = stream.into_inner();
    match tokio::time::timeout(HEAD, stream.write_all(FULL)).await {
        Ok(written) => written,
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_is_well_formed() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let answer: rolecall_protocol::ErrorAnswer = serde_json::from_str(body).unwrap();
        assert_eq!(answer.error.code, rolecall_protocol::ErrorCode::Unavailable);
    }
}
