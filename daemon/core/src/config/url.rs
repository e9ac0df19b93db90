//! The former names of what [`rolecall_protocol::HttpUrl`] does; `rolecall-aws` still imports them.

use std::net::IpAddr;

pub use rolecall_protocol::EndpointUrl;
use rolecall_protocol::HttpUrl;

/// Whether a URI is plain http to this machine.
#[must_use]
pub fn is_loopback(uri: &str) -> bool {
    HttpUrl::parse(uri).is_ok_and(|url| !url.is_https() && url.is_loopback())
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of what follows `://`.
#[must_use]
pub fn host_of(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains('@') {
        return None;
    }
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    }
}
