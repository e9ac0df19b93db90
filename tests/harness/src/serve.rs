//! A server of HTTP/1.1 on a loopback port of its own, on a thread and runtime of its own, so that a test may be sync
//! or async.

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

/// A thousand callers connect at once in the load tests: none may wait for a SYN to be sent again.
const BACKLOG: u32 = 4096;

/// What a handler answers with.
pub(crate) type ReplyBody = BoxBody<Bytes, Broken>;

/// The handler wants the connection closed, in the middle of the reply or instead of one.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the test wants this connection closed")
    }
}

impl std::error::Error for Broken {}

/// A body that is there at once.
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
    /// Listens on a free port of 127.0.0.1 and answers with `handler`, over TLS if there is an acceptor.
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
                    // Sent by Drop, or the sender is gone: either way nobody wants us any more.
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops every connection and every reply that still waits for a gate.
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
            // While a test is failing already its own message is the one to read.
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
        // A peer that is gone before it was accepted is its own business.
        let Ok((stream, _peer)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, handler) = (tls.clone(), handler.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, handler).await,
                Some(tls) => {
                    // Tests of the pin refuse our certificate on purpose.
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
    // Broken connections are what half of the tests are about; the caller sees them.
    drop(served);
}
