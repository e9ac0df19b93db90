//! A server that reads a request and responds with a constant: the limit of what the daemon can reach with hyper and tokio.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;

/// Serves until it is killed. Prints `ready` when it listens.
pub(crate) fn run(socket: &Path, body_bytes: usize) {
    let body = Bytes::from(vec![b'x'; body_bytes]);
    // As in the daemon.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be created");
    runtime.block_on(accept(socket, body));
}

async fn accept(socket: &Path, body: Bytes) {
    let listener = UnixListener::bind(socket).expect("the path is free");
    println!("ready");
    std::io::stdout().flush().expect("the parent reads");
    loop {
        let (stream, _) = listener.accept().await.expect("descriptors are free");
        let body = body.clone();
        let service = service_fn(move |request| respond(request, body.clone()));
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// Reads the request's body, which the daemon has to do too.
async fn respond(request: Request<Incoming>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    drop(request.into_body().collect().await);
    Ok(Response::new(Full::new(body)))
}
