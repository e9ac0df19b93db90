//! An HTTP/1.1 server on a free loopback port. It runs on a thread and runtime of its own, so a test may be
//! synchronous or asynchronous.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// The load tests open 1,000 connections at once. With a shorter queue the kernel drops SYNs, and those clients retry
/// after a second.
const BACKLOG: u32 = 4096;

/// The body of a response.
pub(crate) type ReplyBody = BoxBody<Bytes, Broken>;

/// The handler closes the connection, in the middle of the response or instead of one.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the test closes this connection")
    }
}

impl std::error::Error for Broken {}

/// A complete body.
pub(crate) fn full(body: impl Into<Bytes>) -> ReplyBody {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A running server. Dropping it closes the port and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1 and answers requests with `handler`, over TLS if `tls` is given.
    pub(crate) fn start<H, F>(name: &str, tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<ReplyBody>, Broken>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let (listening, ready) = mpsc::channel();
        let run = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            runtime.block_on(async {
                let listener = listen();
                listening
                    .send(listener.local_addr().expect("a listener has an address"))
                    .expect("start() waits for it");
                tokio::select! {
                    () = accept(listener, tls, handler) => {}
                    // Drop sends the signal, or the sender is gone.
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops every connection and every response that still waits.
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread can be started");
        let addr = ready.recv().expect("the server listens");
        Self { addr, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            // A failing test shows its own message.
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread panicked");
        }
    }
}

fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has a free port");
    socket.listen(BACKLOG).expect("a bound socket can listen")
}

async fn accept<H, F>(listener: TcpListener, tls: Option<TlsAcceptor>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<ReplyBody>, Broken>> + Send + 'static,
{
    loop {
        // The client may close the connection before it is accepted.
        let Ok((stream, _peer)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, handler) = (tls.clone(), handler.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, handler).await,
                Some(tls) => {
                    // Clients that test the pin reject this certificate on purpose.
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, handler).await;
                    }
                }
            }
        });
    }
}

async fn connection<S, H, F>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<ReplyBody>, Broken>> + Send + 'static,
{
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(handler))
        .await;
    // Many tests break connections on purpose; the client sees the error.
    drop(served);
}
