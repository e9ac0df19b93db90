//! Answers: JSON, with the protocol's version, never kept by anybody.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use rolecall_protocol::{ErrorAnswer, ErrorBody, ErrorCode, PROTOCOL_HEADER, PROTOCOL_VERSION, Secret};
use serde::Serialize;

/// What hyper sends.
pub(super) type Reply = Response<Full<Bytes>>;

/// A status and a body.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Lets hyper send a secret without a copy, and wipes it once it is sent.
struct SecretBytes(Secret<Vec<u8>>);

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

impl Answer {
    pub(super) fn json(value: &impl Serialize) -> Self {
        if let Ok(body) = serde_json::to_vec(value) {
            Self { status: StatusCode::OK, body: body.into() }
        } else {
            let body = ErrorBody::new(ErrorCode::Internal, "the answer could not be written");
            Self::error(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }

    pub(super) fn secret(body: Secret<Vec<u8>>) -> Self {
        Self { status: StatusCode::OK, body: Bytes::from_owner(SecretBytes(body)) }
    }

    pub(super) fn error(status: StatusCode, error: ErrorBody) -> Self {
        // Three strings always serialise.
        let body = serde_json::to_vec(&ErrorAnswer { error }).unwrap_or_default();
        Self { status, body: body.into() }
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut reply = Response::new(Full::new(self.body));
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL_VERSION));
        reply
    }
}
