//! Responses: JSON with the protocol's version, never cached.

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use rolecall_protocol::{
    ErrorBody, ErrorCode, ErrorResponse, PROTOCOL_HEADER, PROTOCOL_VERSION, RejectedIdentity, Secret,
    UNAUTHORIZED_HEADER,
};
use serde::Serialize;

use crate::services::audit::SessionFacts;

/// A response as hyper sends it.
pub(super) type HttpResponse = Response<Body>;
/// Response bodies do not fail.
pub(super) type Never = std::convert::Infallible;

type Body = Either<Full<Bytes>, Channel<Bytes, Never>>;

/// The response of an endpoint: a status and a body.
pub(super) struct EndpointResponse {
    status: StatusCode,
    body: Body,
    /// What the audit log has of the session that the response was made from.
    pub(super) session_facts: Option<SessionFacts>,
    rejected: Option<RejectedIdentity>,
}

/// An error with its HTTP status.
pub(super) struct HttpError {
    status: StatusCode,
    body: ErrorBody,
}

/// A secret body: hyper sends it without a copy, and it is wiped when it is sent.
struct SecretBytes(Secret<Vec<u8>>);

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

impl EndpointResponse {
    pub(super) fn json(value: &impl Serialize) -> Self {
        if let Ok(body) = serde_json::to_vec(value) {
            Self::whole(StatusCode::OK, body.into())
        } else {
            let body = ErrorBody::new(ErrorCode::Internal, "cannot write the response");
            Self::error(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }

    /// A secret made from a session.
    pub(super) fn secret(body: Secret<Vec<u8>>, facts: SessionFacts) -> Self {
        let response = Self::whole(StatusCode::OK, Bytes::from_owner(SecretBytes(body)));
        Self { session_facts: Some(facts), ..response }
    }

    /// Adds the identity that the cluster rejects, if the client is to print that.
    pub(super) const fn with_rejected(mut self, identity: Option<RejectedIdentity>) -> Self {
        self.rejected = identity;
        self
    }

    pub(super) fn error(status: StatusCode, error: ErrorBody) -> Self {
        // An error body always serialises.
        let body = serde_json::to_vec(&ErrorResponse { error }).unwrap_or_default();
        Self::whole(status, body.into())
    }

    /// A body that its sender ends.
    pub(super) fn stream(body: Channel<Bytes, Never>) -> Self {
        Self { status: StatusCode::OK, body: Either::Right(body), session_facts: None, rejected: None }
    }

    fn whole(status: StatusCode, body: Bytes) -> Self {
        Self { status, body: Either::Left(Full::new(body)), session_facts: None, rejected: None }
    }

    pub(super) fn into_http(self) -> HttpResponse {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL_VERSION));
        if let Some(identity) = self.rejected {
            headers.insert(UNAUTHORIZED_HEADER, HeaderValue::from_static(identity.as_str()));
        }
        response
    }
}

pub(super) fn bad_request(status: StatusCode, message: &str) -> HttpError {
    HttpError { status, body: ErrorBody::new(ErrorCode::BadRequest, message) }
}

impl From<ErrorBody> for HttpError {
    fn from(body: ErrorBody) -> Self {
        let status = StatusCode::from_u16(body.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, body }
    }
}

impl From<HttpError> for EndpointResponse {
    fn from(HttpError { status, body }: HttpError) -> Self {
        Self::error(status, body)
    }
}
