//! The part of HTTP/1.1 that one request and one response on a Unix socket need.
//!
//! kubectl waits for this code, so it is written by hand: no runtime, no allocation beyond two buffers, one write and
//! nearly always one read. The daemon sends a `Content-Length` with every response except a stream ([`LineStream`]);
//! the client rejects anything else.

mod exchange;
mod message;
mod ndjson;

pub(crate) use exchange::{exchange, exchange_unless};
pub(crate) use message::{HttpError, Response, request, request_lines, token_request};
pub(crate) use ndjson::{LineStream, open_stream};
