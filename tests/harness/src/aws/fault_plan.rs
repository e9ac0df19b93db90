//! The effect of a fault on one call: delays, a replaced response, changed values, and how it is sent.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::Response;
use jiff::SignedDuration;

use super::error::ApiError;
use super::fault::{Cut, Fault, Gate};
use super::reply::Reply;
use super::request::ParsedRequest;
use crate::serve::{Broken, ReplyBody, full};
use crate::time::http_date;

/// The page of a captive portal.
const PORTAL: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to Hotel Wi-Fi</title></head>\n\
                      <body><h1>Please log in</h1><form action=\"/login\"><input name=\"room\"></form></body></html>\n";

/// The effects of a fault.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    waits: Vec<Wait>,
    /// Replaces the correct response; the last one applies.
    pub(crate) replacement: Option<Replacement>,
    pub(crate) overrides: Overrides,
    wire: Wire,
}

#[derive(Debug)]
enum Wait {
    For(Duration),
    At(Gate),
}

/// What replaces the correct response.
#[derive(Debug)]
pub(crate) enum Replacement {
    Throttle,
    Error(ApiError),
    Empty200,
    Html,
    Raw { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    Close,
}

/// Wrong values in a successful response of STS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) expires_in: Option<Duration>,
    pub(crate) assumed_arn: Option<String>,
    pub(crate) expiration: Expiration,
}

/// The `Expiration` of a session.
#[derive(Clone, Debug, Default)]
pub(crate) enum Expiration {
    #[default]
    Correct,
    Text(String),
    Absent,
}

#[derive(Debug, Default)]
struct Wire {
    skew: Option<SignedDuration>,
    cut: Option<Cut>,
    slow: Option<(usize, Duration)>,
}

impl Plan {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let mut plan = Self::default();
        if let Some(fault) = fault {
            plan.add(fault);
        }
        plan
    }

    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Delay(delay) => self.waits.push(Wait::For(delay)),
            Fault::Hold(gate) => self.waits.push(Wait::At(gate)),
            Fault::Throttle => self.replacement = Some(Replacement::Throttle),
            Fault::Status(status) => {
                let message = "Service is unavailable, please try again.";
                self.replacement = Some(Replacement::Error(ApiError::new(status, "ServiceUnavailable", message)));
            }
            Fault::Error { status, code, message } => {
                self.replacement = Some(Replacement::Error(ApiError { status, code, message }));
            }
            Fault::Empty200 => self.replacement = Some(Replacement::Empty200),
            Fault::Html => self.replacement = Some(Replacement::Html),
            Fault::Raw { status, headers, body } => self.replacement = Some(Replacement::Raw { status, headers, body }),
            Fault::Reset => self.replacement = Some(Replacement::Close),
            Fault::Truncated(cut) => self.wire.cut = Some(cut),
            Fault::DateSkew(skew) => self.wire.skew = Some(skew),
            Fault::SlowBytes { bytes, every } => self.wire.slow = Some((bytes.max(1), every)),
            Fault::ExpiresIn(lifetime) => self.overrides.expires_in = Some(lifetime),
            Fault::WrongRole(arn) => self.overrides.assumed_arn = Some(arn),
            Fault::Expiration(text) => self.overrides.expiration = text.map_or(Expiration::Absent, Expiration::Text),
            Fault::All(faults) => faults.into_iter().for_each(|fault| self.add(fault)),
        }
    }

    /// Waits before the response.
    pub(crate) async fn wait(&self) {
        for wait in &self.waits {
            match wait {
                Wait::For(delay) => tokio::time::sleep(*delay).await,
                Wait::At(gate) => gate.wait().await,
            }
        }
    }

    /// Builds the response, with the transport faults.
    pub(crate) fn write(self, mut reply: Reply, extra: Vec<(String, String)>, now: SystemTime) -> Response<ReplyBody> {
        let whole = reply.body.len();
        if self.wire.cut.is_some() {
            reply.body.truncate(whole / 2);
        }
        let date = self.wire.skew.map_or(now, |skew| shifted(now, skew));
        let mut response = Response::builder().status(reply.status).header("date", http_date(date));
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        for (name, value) in extra {
            response = response.header(name, value);
        }
        let length = match self.wire.cut {
            None | Some(Cut::TruncatedLength) => Some(reply.body.len()),
            Some(Cut::ConnectionCloses) => Some(whole),
            Some(Cut::Chunked) => None,
        };
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        let plain = self.wire.slow.is_none() && length == Some(reply.body.len());
        let body = if plain { full(reply.body) } else { self.wire.paced(reply.body) };
        response.body(body).expect("a reply's status and headers can be written")
    }
}

impl Wire {
    /// Returns a body that is sent in chunks, and whose connection may close before its end.
    fn paced(&self, body: Vec<u8>) -> ReplyBody {
        let (mut sender, channel) = Channel::<Bytes, Broken>::new(1);
        let (bytes, every) = self.slow.unwrap_or((body.len().max(1), Duration::ZERO));
        let breaks = self.cut == Some(Cut::ConnectionCloses);
        tokio::spawn(async move {
            for chunk in body.chunks(bytes) {
                tokio::time::sleep(every).await;
                // The caller has disconnected.
                if sender.send_data(Bytes::copy_from_slice(chunk)).await.is_err() {
                    return;
                }
            }
            if breaks {
                // hyper discards unflushed data when a body fails. The runtime of a server has one thread: while this
                // task yields, the connection's task sends the first half.
                tokio::task::yield_now().await;
                sender.abort(Broken);
            }
        });
        channel.boxed()
    }
}

impl Replacement {
    /// Returns the replacement, with extra headers of the test; `None` closes the connection.
    pub(crate) fn reply(self, request: &ParsedRequest) -> Option<(Reply, Vec<(String, String)>)> {
        let reply = match self {
            Self::Throttle => ApiError::throttled(request.service).reply(request),
            Self::Error(error) => error.reply(request),
            Self::Empty200 => Reply::plain(200, "text/xml", ""),
            Self::Html => Reply::plain(200, "text/html; charset=utf-8", PORTAL),
            Self::Raw { status, headers, body } => {
                return Some((Reply { status, headers: Vec::new(), body, error_code: None }, headers));
            }
            Self::Close => return None,
        };
        Some((reply, Vec::new()))
    }
}

fn shifted(at: SystemTime, by: SignedDuration) -> SystemTime {
    if by.is_negative() { at - by.unsigned_abs() } else { at + by.unsigned_abs() }
}
