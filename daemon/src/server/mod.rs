//! HTTP/1.1 over the Unix socket: who may connect, how much is read, how long it may take, and which handler answers.
//!
//! A connection goes `accept → authorized → limits → hyper → route → endpoint`. Each step can only make the rest
//! unnecessary; none knows the next but by its type.

mod answer;
mod endpoints;
mod peer;
mod route;
pub mod socket;
pub mod socket_watch;

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::handover::Program;
use peer::AuthorizedStream;

/// A request's head has to be here in this time, counted from the connection or the answer before it (L1).
const HEAD: Duration = Duration::from_secs(2);
/// A request's head may be this large, in bytes (L2; hyper's least is 8,192).
const MAX_HEAD: usize = 8 * 1024;
/// And have this many headers (L2).
const MAX_HEADERS: usize = 32;
/// Connections at once (L3); kubectl-driven tools open hundreds.
const MAX_CONNECTIONS: usize = 1024;
/// Of these, those who watch and so stay.
const MAX_WATCHERS: usize = 32;
/// An answer has to be taken in this time, from one write to the next (L1): a peer that does not read is nobody's guest.
const WRITE: Duration = Duration::from_secs(5);
/// File descriptors that are kept back for AWS, files and children (L3).
const RESERVED: u64 = 64;
/// What is under way may take this long to finish when the daemon stops (B12).
const DRAIN: Duration = Duration::from_secs(5);
/// And when it restarts: new callers wait meanwhile, and who is cut off before a byte of an answer asks again.
pub const LINGER: Duration = Duration::from_secs(1);
/// For how long a connection may go on as if nothing were: who has just connected is about to ask.
const GRACE: Duration = Duration::from_millis(100);
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
    /// Ends what would go on for ever: this server is about to leave.
    leaving: CancellationToken,
    /// Has it run its program anew; `None` where it cannot.
    pub restart: Option<Restart>,
    /// Places of those who watch: they stay, and must not take those of the ones who ask.
    watchers: Arc<Semaphore>,
}

/// What a restart takes.
#[derive(Clone)]
pub struct Restart {
    /// What the process becomes.
    pub program: Arc<Program>,
    /// What it has to listen at still; `None` where a service manager owns that.
    pub name: Option<socket::Name>,
    /// Orders it.
    pub asked: CancellationToken,
}

/// Why no more connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The daemon ends.
    Stop,
    /// It runs its program anew.
    Restart,
}

/// Everything that is under way.
pub struct Server {
    context: Context,
    places: Arc<Semaphore>,
    conversations: TaskTracker,
}

/// Serves until `stop`, then finishes what is under way, for at most five seconds. Knows no restart.
pub async fn serve(listener: UnixListener, agent: Arc<Agent>, stop: CancellationToken) {
    let server = Server::new(Context::new(agent, stop, None));
    server.accept(&listener).await;
    drop(listener);
    server.stop().await;
}

impl Server {
    /// One that serves nobody yet.
    #[must_use]
    pub fn new(context: Context) -> Self {
        let places = Arc::new(Semaphore::new(places()));
        Self { context, places, conversations: TaskTracker::new() }
    }

    /// Takes connections until it is told to end. Who comes later waits in the listener's queue.
    pub async fn accept(&self, listener: &UnixListener) -> Ending {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased; // once it is told, nobody is taken any more
                ending = self.context.ending() => return ending,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    self.greet(stream);
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "Connections cannot be accepted");
                    }
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    /// Finishes what is under way before the daemon ends, changes of keys too, whose callers may have gone.
    pub async fn stop(self) {
        tracing::info!("Stopping");
        let agent = Arc::clone(&self.context.agent);
        tokio::join!(self.finish(DRAIN), agent.settle_keys(DRAIN));
    }

    /// Finishes what is under way, for at most that long.
    pub async fn finish(self, limit: Duration) {
        self.context.leaving.cancel();
        self.conversations.close();
        if tokio::time::timeout(limit, self.conversations.wait()).await.is_err() {
            tracing::warn!("Some answers were not finished in {} s", limit.as_secs());
        }
    }

    fn greet(&self, stream: UnixStream) {
        let stream = match AuthorizedStream::check(stream) {
            Ok(stream) => stream,
            Err(denied) => return tracing::warn!(peer.uid = denied.uid, "A peer was turned away"),
        };
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => self.converse(stream, place),
            Err(_) => {
                tokio::spawn(turn_away(stream));
            }
        }
    }

    fn converse(&self, stream: AuthorizedStream, place: OwnedSemaphorePermit) {
        let (context, leaving) = (self.context.clone(), self.context.leaving.clone());
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
        self.conversations.spawn(async move {
            let mut connection = pin!(connection);
            let leaving = async {
                leaving.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = leaving => {
                    // From here on what is idle is closed, and what is not is closed with its answer.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "A connection ended early");
            }
            drop(place);
        });
    }
}

impl Context {
    /// What the handlers of one server get.
    #[must_use]
    pub fn new(agent: Arc<Agent>, stop: CancellationToken, restart: Option<Restart>) -> Self {
        let watchers = Arc::new(Semaphore::new(MAX_WATCHERS));
        Self { agent, stop, leaving: CancellationToken::new(), restart, watchers }
    }

    async fn ending(&self) -> Ending {
        let Some(restart) = &self.restart else {
            self.stop.cancelled().await;
            return Ending::Stop;
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ending::Stop,
            () = restart.asked.cancelled() => Ending::Restart,
        }
    }
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
        let answer: rolecall_protocol::ErrorResponse = serde_json::from_str(body).unwrap();
        assert_eq!(answer.error.code, rolecall_protocol::ErrorCode::Unavailable);
    }
}
