//! Where something may be sent: https anywhere, plain http on this machine alone.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// More is no address of a service.
const MAX_URL: usize = 2048;

/// The address of a service: an https URL, or a plain http one on a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EndpointUrl(Arc<str>);

impl EndpointUrl {
    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for EndpointUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let Some((_, rest)) = text.split_once("://") else {
            return Err("must be an https URL");
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if text.len() > MAX_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['?', '#', '\\'])
        {
            return Err("must be an https URL without a query");
        }
        if authority.contains('@') {
            return Err("may not hold a name or a password");
        }
        if !is_host(authority) {
            return Err("must be an https URL with a host, and a port at most");
        }
        if text.starts_with("https://") || is_loopback(text) {
            Ok(Self(text.into()))
        } else {
            Err("must be an https URL; plain http is for this machine alone (http://127.0.0.1:PORT)")
        }
    }
}

impl<'de> Deserialize<'de> for EndpointUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Whether this is `HOST` or `HOST:PORT`.
pub(super) fn is_host(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let Some((address, rest)) = v6.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                None => return rest.is_empty(),
                port => (address, port),
            }
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_name = host.contains(':') || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    !host.is_empty() && is_name && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether a URI is plain http to this very machine.
#[must_use]
pub fn is_loopback(uri: &str) -> bool {
    uri.strip_prefix("http://").and_then(host_of).is_some_and(is_loopback_host)
}

/// Whether a host is this very machine.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of what follows `://`, if it is no riddle.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_or_on_this_machine() {
        for good in [
            "https://vpce-0123.sts.eu-west-1.vpce.amazonaws.com",
            "https://sts.corp:8443/path",
            "https://[2001:db8::1]:443/",
            "http://127.0.0.1:4566",
            "http://[::1]:4566/",
            "http://localhost:1/",
        ] {
            assert_eq!(good.parse::<EndpointUrl>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", "must be an https URL"),
            ("sts.corp", "must be an https URL"),
            ("https://", "with a host"),
            ("https:///x", "with a host"),
            ("https://sts.corp:99999", "with a host"),
            ("https://sts.corp:0", "with a host"),
            ("https://[::1", "with a host"),
            ("https://[::1]x", "with a host"),
            ("https://sts corp", "without a query"),
            ("https://sts.corp/?x", "without a query"),
            ("https://me:secret@sts.corp", "may not hold a name"),
            ("http://127.0.0.1@evil.com", "may not hold a name"),
            ("http://sts.corp", "plain http is for this machine alone"),
            ("http://169.254.169.254", "plain http is for this machine alone"),
            ("http://127.0.0.1.evil.com", "plain http is for this machine alone"),
            ("ftp://sts.corp", "must be an https URL"),
            ("https://sts.corp/\u{e9}", "without a query"),
        ] {
            let said = bad.parse::<EndpointUrl>().unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(format!("https://{}", "x".repeat(MAX_URL)).parse::<EndpointUrl>().is_err());
    }
}
