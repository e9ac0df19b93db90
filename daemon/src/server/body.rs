//! The body of a request, and the memory that large ones may take together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, StatusCode};
use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, MAX_CONFIG_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::response::{HttpError, bad_request};

/// How long a request's body may take to arrive (L1).
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The size up to which a body counts for nothing, in bytes.
const SMALL_BODY_BYTES: u64 = 16 * 1024;
/// What the values of a JSON document take at most, in units of its size: a string of three bytes takes 24. Configurations are
/// parsed one at a time.
const JSON_FACTOR: u64 = 8;

/// The body of a request.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// Held until nothing of the request is in memory any longer.
    pub(super) memory: Option<OwnedSemaphorePermit>,
}

/// The memory for large bodies and what is parsed from them (L4): enough for one configuration of the maximum size.
#[derive(Clone)]
pub(super) struct LargeBodies(Arc<Semaphore>);

impl LargeBodies {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(kib(MAX_CONFIG_BYTES as u64) as usize)))
    }

    /// Waits until there is memory for the request's body, and reads it. Errors if the body is larger than the endpoint allows,
    /// or if the memory or the body takes too long.
    pub(super) async fn read(&self, request: Request<Incoming>, endpoint: &Endpoint) -> Result<Body, HttpError> {
        let limit = endpoint.max_body_bytes();
        // The length is exact: a request without Content-Length has no body.
        let length = request.body().size_hint().lower();
        if length > limit as u64 {
            return Err(too_large(limit)); // without reading it
        }
        let memory = match length {
            ..=SMALL_BODY_BYTES => None,
            _ => Some(self.wait(length, endpoint).await?),
        };
        match tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body(), length, limit)).await {
            Ok(bytes) => Ok(Body { bytes: bytes?, memory }),
            Err(_) => Err(bad_request(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        }
    }

    async fn wait(&self, length: u64, endpoint: &Endpoint) -> Result<OwnedSemaphorePermit, HttpError> {
        let is_configuration = endpoint.max_body_bytes() == MAX_CONFIG_BYTES;
        let bytes = if is_configuration { length } else { length * JSON_FACTOR };
        let permit = Arc::clone(&self.0).acquire_many_owned(kib(bytes.min(MAX_CONFIG_BYTES as u64)));
        match tokio::time::timeout(BODY_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ErrorBody::new(ErrorCode::Unavailable, "the daemon reads other large requests")
                .hint("Try again in a moment.")
                .into()),
        }
    }
}

/// Reads a body of this length into one allocation.
async fn collect(body: Incoming, length: u64, limit: usize) -> Result<Bytes, HttpError> {
    let mut body = Limited::new(body, limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(limit).min(limit));
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default()),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Err(_) => return Err(bad_request(StatusCode::BAD_REQUEST, "the body ended early")),
        }
    }
    Ok(bytes.into())
}

fn too_large(limit: usize) -> HttpError {
    bad_request(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes"))
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
