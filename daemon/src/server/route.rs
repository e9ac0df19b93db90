//! From a request to the handler that answers it: the protocol's version, the path, the method, the size, the time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, PROTOCOL_HEADER, PROTOCOL_VERSION};

use super::Context;
use super::answer::{Answer, Reply};
use super::endpoints;
use super::peer::Peer;
use crate::agent::AgentError;

/// A body has to be here in this time (L1).
const BODY: Duration = Duration::from_secs(5);

/// Answers one request.
pub(super) async fn answer(context: &Context, peer: Peer, request: Request<Incoming>) -> Reply {
    match handle(context, peer, request).await {
        Ok(answer) => answer.into_reply(),
        Err(Refused { status, body }) => Answer::error(status, body).into_reply(),
    }
}

/// An error and the status that carries it.
struct Refused {
    status: StatusCode,
    body: ErrorBody,
}

async fn handle(context: &Context, peer: Peer, request: Request<Incoming>) -> Result<Answer, Refused> {
    check_protocol(&request)?;
    let endpoint = Endpoint::parse(request.uri().path()).filter(|_| is_plain(&request));
    let endpoint = endpoint.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "there is no such endpoint"))?;
    if request.method().as_str() != endpoint.method().as_str() {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "this endpoint takes another method"));
    }
    let body = read(request, endpoint.max_body_bytes()).await?;
    match tokio::time::timeout(endpoint.response_timeout(), endpoints::answer(context, peer, &endpoint, body)).await {
        Ok(answer) => answer.map_err(Refused::from),
        Err(_) => Err(too_slow(&endpoint, context.agent.waiting())),
    }
}

/// Whoever names a version has to name ours; `curl` names none.
fn check_protocol(request: &Request<Incoming>) -> Result<(), Refused> {
    match request.headers().get(PROTOCOL_HEADER) {
        None => Ok(()),
        Some(version) if version.as_bytes() == PROTOCOL_VERSION.to_string().as_bytes() => Ok(()),
        Some(_) => Err(ErrorBody::new(
            ErrorCode::ProtocolMismatch,
            format!(
                "the daemon (rolecalld {}) speaks protocol {PROTOCOL_VERSION}, the client another",
                env!("CARGO_PKG_VERSION")
            ),
        )
        .hint("Run: rolecall agent restart")
        .into()),
    }
}

/// A path and nothing else: no authority, no query.
fn is_plain(request: &Request<Incoming>) -> bool {
    let uri = request.uri();
    uri.authority().is_none() && uri.query().is_none()
}

async fn read(request: Request<Incoming>, limit: usize) -> Result<Bytes, Refused> {
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes"));
    // What says it is too large is not read at all.
    if hyper::body::Body::size_hint(request.body()).lower() > limit as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit);
    match tokio::time::timeout(BODY, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

/// `waiting` calls wait for their turn at STS: then that is why.
fn too_slow(endpoint: &Endpoint, waiting: usize) -> Refused {
    let who = match endpoint {
        Endpoint::Token(name) | Endpoint::Refresh(name) | Endpoint::Cluster(name) | Endpoint::Probe(name) => {
            format!("{name}: ")
        }
        _ => String::new(),
    };
    let message = format!("{who}there is no answer yet after {} s", endpoint.response_timeout().as_secs());
    let hint = if waiting > 0 {
        format!("STS is called a few times a second at most, and {waiting} calls wait for their turn: run it again.")
    } else {
        "It is still being tried: look at the network and the VPN, and at what the source has to run or wait for; run it again.".to_owned()
    };
    ErrorBody::new(ErrorCode::Timeout, message).hint(hint).into()
}

fn refuse(status: StatusCode, message: &str) -> Refused {
    Refused { status, body: ErrorBody::new(ErrorCode::BadRequest, message) }
}

impl From<ErrorBody> for Refused {
    fn from(body: ErrorBody) -> Self {
        let status = StatusCode::from_u16(body.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, body }
    }
}

impl From<AgentError> for Refused {
    fn from(error: AgentError) -> Self {
        error.0.into()
    }
}
