//! From a request to its handler: checks the protocol version, path, method and size, and enforces the timeout.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, Hint, PROTOCOL_HEADER, PROTOCOL_VERSION};

use tokio::sync::SemaphorePermit;

use super::peer::Peer;
use super::places::Place;
use super::response::{EndpointResponse, HttpResponse};
use super::{Context, endpoints};

/// How long a request's body may take to arrive (L1).
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Larger bodies are read one after the other.
const LARGE_BODY_BYTES: u64 = 16 * 1024;

/// Handles one request.
pub(super) async fn respond(context: &Context, peer: Peer, place: &Place, request: Request<Incoming>) -> HttpResponse {
    match handle(context, peer, place, request).await {
        Ok(response) => response.into_http(),
        Err(HttpError { status, body }) => EndpointResponse::error(status, body).into_http(),
    }
}

/// An error with its HTTP status.
struct HttpError {
    status: StatusCode,
    body: ErrorBody,
}

async fn handle(
    context: &Context,
    peer: Peer,
    place: &Place,
    request: Request<Incoming>,
) -> Result<EndpointResponse, HttpError> {
    check_head(&request)?;
    check_protocol(&request)?;
    let endpoint = Endpoint::parse(request.uri().path()).filter(|_| is_path_only(&request));
    let endpoint = endpoint.ok_or_else(|| bad_request(StatusCode::NOT_FOUND, "no such endpoint"))?;
    if request.method().as_str() != endpoint.method().as_str() {
        return Err(bad_request(StatusCode::METHOD_NOT_ALLOWED, "wrong method for this endpoint"));
    }
    let proof = endpoints::token::entry_proof(request.headers());
    let _large = wait_for_large_requests(context, &request).await?;
    let body = read_body(request, endpoint.max_body_bytes()).await?;
    place.keep();
    let (client, audit) = (peer.client(), &context.agent.audit);
    // The handler records the result at the end of its stream.
    let audited = if endpoint.streams_result() { None } else { audit.begin(&endpoint, &client) };
    let handled = endpoints::handle(context, &client, &endpoint, &proof, body);
    let result = match tokio::time::timeout(endpoint.response_timeout(), handled).await {
        Ok(result) => result.map_err(|error| error.0),
        Err(_) => Err(timed_out(&endpoint, context.agent.waiting_sts_calls())),
    };
    if let Some(request) = audited {
        audit.decided(
            request,
            result.as_ref().map(|response| response.session_facts.clone()).map_err(|error| error.code),
        );
    }
    result.map_err(HttpError::from)
}

/// Rejects a request whose size or target could be read in two ways.
fn check_head(request: &Request<Incoming>) -> Result<(), HttpError> {
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return Err(bad_request(StatusCode::LENGTH_REQUIRED, "a request needs Content-Length"));
    }
    match request.headers().get_all(HOST).iter().count() {
        1 => Ok(()),
        _ => Err(bad_request(StatusCode::BAD_REQUEST, "a request needs one Host header")),
    }
}

/// Waits until the daemon has memory for the request's body. The permit is held until the response.
async fn wait_for_large_requests<'a>(
    context: &'a Context,
    request: &Request<Incoming>,
) -> Result<Option<SemaphorePermit<'a>>, HttpError> {
    if hyper::body::Body::size_hint(request.body()).lower() <= LARGE_BODY_BYTES {
        return Ok(None);
    }
    match tokio::time::timeout(BODY_TIMEOUT, context.large_requests.acquire()).await {
        Ok(permit) => Ok(permit.ok()),
        Err(_) => Err(ErrorBody::new(ErrorCode::Unavailable, "the daemon reads other large requests")
            .hint("Try again in a moment.")
            .into()),
    }
}

/// Rejects a client that names another version; `curl` names none.
fn check_protocol(request: &Request<Incoming>) -> Result<(), HttpError> {
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
        .hint(Hint::command("rolecall agent restart"))
        .into()),
    }
}

/// Whether the URI is a path only, without authority and query.
fn is_path_only(request: &Request<Incoming>) -> bool {
    let uri = request.uri();
    uri.authority().is_none() && uri.query().is_none()
}

async fn read_body(request: Request<Incoming>, limit: usize) -> Result<Bytes, HttpError> {
    let too_large = || bad_request(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes"));
    // A body that announces too large a size is not read.
    if hyper::body::Body::size_hint(request.body()).lower() > limit as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit);
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(bad_request(StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => Err(bad_request(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// Returns the error of a request that exceeded its timeout. If STS calls wait for the rate limit, that is the cause.
fn timed_out(endpoint: &Endpoint, waiting: usize) -> ErrorBody {
    let profile = match endpoint {
        Endpoint::Token(name)
        | Endpoint::Credentials(name)
        | Endpoint::Refresh(name)
        | Endpoint::Cluster(name)
        | Endpoint::ClusterAccess(name)
        | Endpoint::Probe(name) => {
            format!("{name}: ")
        }
        _ => String::new(),
    };
    let message = format!("{profile}no result after {} s", endpoint.response_timeout().as_secs());
    let hint = if waiting > 0 {
        format!("{waiting} STS calls wait for the rate limit: run the command again.")
    } else {
        "Rolecall is still trying: check the network, [network] in config.toml (proxy, no_proxy, ca_bundle) and the source's credential_process, then run the command again."
            .to_owned()
    };
    ErrorBody::new(ErrorCode::Timeout, message).hint(hint)
}

fn bad_request(status: StatusCode, message: &str) -> HttpError {
    HttpError { status, body: ErrorBody::new(ErrorCode::BadRequest, message) }
}

impl From<ErrorBody> for HttpError {
    fn from(body: ErrorBody) -> Self {
        let status = StatusCode::from_u16(body.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, body }
    }
}
