//! From a request to its handler: checks the protocol version, path, method and size, and enforces the timeout.

use hyper::body::Incoming;
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, Hint, PROTOCOL_HEADER, PROTOCOL_VERSION};

use super::peer::Peer;
use super::places::Place;
use super::response::{EndpointResponse, HttpError, HttpResponse, bad_request};
use super::{Context, endpoints};

/// Handles one request.
pub(super) async fn respond(context: &Context, peer: Peer, place: &Place, request: Request<Incoming>) -> HttpResponse {
    match handle(context, peer, place, request).await {
        Ok(response) => response.into_http(),
        Err(error) => EndpointResponse::from(error).into_http(),
    }
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
    let body = context.large_bodies.read(request, &endpoint).await?;
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
