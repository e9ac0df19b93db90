//! HTTP/1.1 over the Unix socket: who may connect, how much is read, how long it may take, and which handler responds.
//!
//! A connection passes `accept → peer check → limits → hyper → route → endpoint`; each step may end it.

mod body;
mod endpoints;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod peer;
mod places;
mod response;
mod route;
pub mod socket;
pub mod socket_watch;

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::handover::Program;
use body::LargeBodies;
use peer::{AuthorizedStream, Peer};
use places::{Place, Places};
use response::HttpResponse;

/// How long a request's head may take to arrive, from the connection or the response before it (L1).
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The size of a request's head (L2; hyper's minimum is 8,192).
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The number of a request's headers (L2).
const MAX_HEADERS: usize = 32;
/// Connections at the same time (L3); tools that start many kubectl open hundreds.
const MAX_CONNECTIONS: usize = 1024;
/// Connections that stream events or login steps.
const MAX_WATCHERS: usize = 32;
/// How long one write of a response may take (L1): a client that stops reading is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// File descriptors that are reserved for AWS, files and children (L3).
const RESERVED_FDS: u64 = 64;
/// The file descriptors that the daemon needs: 24 without a request, [`MIN_CONNECTIONS`] and [`EXTRA_CONNECTIONS`], and some for
/// AWS and files.
const MIN_FDS: u64 = 48;
/// Connections at the same time with few file descriptors.
const MIN_CONNECTIONS: usize = 8;
/// Connections beyond the places: those that get the response that there are too many, and those that lost their place and are
/// not closed yet.
const EXTRA_CONNECTIONS: usize = 8;
/// How long requests may take to finish when the daemon stops (B12).
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long they may take when the daemon restarts: new clients wait during that time, and a client that is disconnected before
/// the first byte of a response sends its request again.
pub const RESTART_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a stopping server still accepts a first request on an open connection.
const GRACE_PERIOD: Duration = Duration::from_millis(100);
/// The pause after a failed accept: without file descriptors it fails immediately, and a loop would spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The response to a connection over the limit.
const OVER_CAPACITY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nrolecall-protocol: 1\r\n\
    connection: close\r\ncontent-length: 113\r\n\r\n\
    {\"error\":{\"code\":\"unavailable\",\"message\":\"the daemon has too many connections\",\"hint\":\"Try again in a moment.\"}}\n";

/// What every handler needs.
#[derive(Clone)]
pub struct Context {
    /// The services.
    pub agent: Arc<Agent>,
    /// Stops the daemon.
    pub stop: CancellationToken,
    /// Ends streams: this server is stopping.
    leaving: CancellationToken,
    /// Restarts the daemon; `None` if it cannot restart by itself.
    pub restart: Option<Restart>,
    /// Limits streams, which must not use up all connections.
    watchers: Arc<Semaphore>,
    large_bodies: LargeBodies,
}

/// What a restart needs.
#[derive(Clone)]
pub struct Restart {
    /// The program to execute.
    pub program: Arc<Program>,
    /// The socket's path; `None` if a service manager owns the socket.
    pub name: Option<socket::SocketName>,
    /// Cancelled to order the restart.
    pub requested: CancellationToken,
}

/// Why the server accepts no more connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEnd {
    /// The daemon stops.
    Stop,
    /// The daemon restarts.
    Restart,
}

/// A server with its open connections.
pub struct Server {
    context: Context,
    places: Arc<Places>,
    /// Limits the file descriptors of connections, those without a place included.
    descriptors: Arc<Semaphore>,
    connections: TaskTracker,
}

/// Serves until `stop`, then finishes open requests, for at most five seconds. Cannot restart.
pub async fn serve(listener: UnixListener, agent: Arc<Agent>, stop: CancellationToken) {
    let server = Server::new(Context::new(agent, stop, None));
    server.accept(&listener).await;
    drop(listener);
    server.stop().await;
}

impl Server {
    /// Creates a server without connections.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let (capacity, connections) = (capacity(), TaskTracker::new());
        let descriptors = Arc::new(Semaphore::new(capacity + EXTRA_CONNECTIONS));
        Self { context, places: Places::new(capacity), descriptors, connections }
    }

    /// Accepts connections until the daemon stops or restarts. Later clients wait in the listener's queue, and so do those for
    /// which there is no file descriptor yet: the reserved ones stay free for AWS and files.
    pub async fn accept(&self, listener: &UnixListener) -> ServerEnd {
        let mut is_failing = false;
        loop {
            let next = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&self.descriptors).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased; // the end comes before the next connection
                ending = self.context.ending() => return ending,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    is_failing = false;
                    self.accept_connection(stream, permit);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "connection accept failed");
                    }
                    tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Finishes open requests before the daemon ends, and changes of access keys and of a cluster's access, whose clients may
    /// have left.
    pub async fn stop(self) {
        tracing::info!("daemon stopping");
        let agent = Arc::clone(&self.context.agent);
        let (keys, access) = (agent.keys.settle(STOP_TIMEOUT), agent.access.settle(STOP_TIMEOUT));
        tokio::join!(self.finish(STOP_TIMEOUT), keys, access);
    }

    /// Finishes open requests, for at most `limit`.
    pub async fn finish(self, limit: Duration) {
        self.context.leaving.cancel();
        self.connections.close();
        if tokio::time::timeout(limit, self.connections.wait()).await.is_err() {
            tracing::warn!(limit_seconds = limit.as_secs(), "requests cancelled after the time limit");
        }
    }

    /// Serves or rejects a connection. The permit is free again when the connection is closed.
    fn accept_connection(&self, stream: UnixStream, permit: Option<OwnedSemaphorePermit>) {
        let stream = match AuthorizedStream::check(stream) {
            Ok(stream) => stream,
            Err(peer) => {
                self.context.agent.audit.other_user(&peer.client());
                return tracing::warn!(peer.uid = peer.uid(), "connection of another user rejected");
            }
        };
        match self.places.take(stream.peer().pid()) {
            Some(place) => self.serve_connection(stream, place, permit),
            None => {
                tokio::spawn(async move {
                    drop(reject_over_capacity(stream).await);
                    drop(permit);
                });
            }
        }
    }

    fn serve_connection(&self, stream: AuthorizedStream, place: Place, permit: Option<OwnedSemaphorePermit>) {
        let leaving = self.context.leaving.clone();
        let (peer, place) = (stream.peer(), Arc::new(place));
        let connection = http_connection(self.context.clone(), peer, Arc::clone(&place), with_write_timeout(stream));
        self.connections.spawn(async move {
            // Dropped last, after the connection.
            let _permit = permit;
            let mut connection = pin!(connection);
            let leaving = async {
                leaving.cancelled().await;
                tokio::time::sleep(GRACE_PERIOD).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = place.evicted() => return,
                () = leaving => {
                    // Closes the connection now if it is idle, or else with its response.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
}

impl Context {
    /// Creates the context of one server.
    #[must_use]
    pub fn new(agent: Arc<Agent>, stop: CancellationToken, restart: Option<Restart>) -> Self {
        let watchers = Arc::new(Semaphore::new(MAX_WATCHERS));
        Self { agent, stop, leaving: CancellationToken::new(), restart, watchers, large_bodies: LargeBodies::new() }
    }

    async fn ending(&self) -> ServerEnd {
        let Some(restart) = &self.restart else {
            self.stop.cancelled().await;
            return ServerEnd::Stop;
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => ServerEnd::Stop,
            () = restart.requested.cancelled() => ServerEnd::Restart,
        }
    }
}

/// Creates the HTTP connection that serves a stream within the limits (L1, L2).
fn http_connection<S: AsyncRead + AsyncWrite + Unpin>(
    context: Context,
    peer: Peer,
    place: Arc<Place>,
    stream: S,
) -> http1::Connection<
    TokioIo<S>,
    impl Service<Request<Incoming>, Response = HttpResponse, Error = Infallible, Future: Send>,
> {
    let service = service_fn(move |request| {
        let (context, place) = (context.clone(), Arc::clone(&place));
        async move { Ok(route::respond(&context, peer, &place, request).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new()) // without one, hyper's header timeout is off
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
}

/// The process may open too few files.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and the agent needs {MIN_FDS}: raise it where it is set (ulimit -n, LimitNOFILE)"
)]
pub struct FewDescriptors {
    limit: u64,
}

/// Errors if the process may open fewer files than it needs to serve: it would start, and then accept no connection.
pub fn check_file_limit() -> Result<(), FewDescriptors> {
    match file_limit() {
        limit if limit < MIN_FDS => Err(FewDescriptors { limit }),
        _ => Ok(()),
    }
}

fn file_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Returns how many connections the file descriptors allow.
fn capacity() -> usize {
    let limit = file_limit();
    usize::try_from(limit.saturating_sub(RESERVED_FDS))
        .unwrap_or(MAX_CONNECTIONS)
        .clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// Adds a timeout to each write of a connection; hyper has timeouts for reads only.
fn with_write_timeout(stream: AuthorizedStream) -> Pin<Box<TimeoutStream<UnixStream>>> {
    let mut stream = TimeoutStream::new(stream.into_inner());
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

async fn reject_over_capacity(stream: AuthorizedStream) -> io::Result<()> {
    let mut stream = stream.into_inner();
    match tokio::time::timeout(HEAD_TIMEOUT, stream.write_all(OVER_CAPACITY)).await {
        Ok(written) => written,
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_capacity_response_is_well_formed() {
        let text = std::str::from_utf8(OVER_CAPACITY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let response: rolecall_protocol::ErrorResponse = serde_json::from_str(body).unwrap();
        assert_eq!(response.error.code, rolecall_protocol::ErrorCode::Unavailable);
    }
}
