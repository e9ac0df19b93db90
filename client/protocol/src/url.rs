//! http and https URLs: the one parser of the client and the daemon, and the one rule for what this machine is.
//!
//! A URL that passes here is handed to another parser afterwards: the SDK's, a proxy's or a browser's. Those disagree
//! about unusual forms. For example, a browser reads the backslash in `http://evil.com\@127.0.0.1/` as a slash and
//! connects to `evil.com`. This parser therefore accepts only forms that all of them read alike. It rejects every other
//! form and normalizes nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The size limit of any URL, in bytes. Verification pages of AWS have a few hundred.
const MAX_URL_BYTES: usize = 8 * 1024;
/// The size limit of a configured endpoint, in bytes.
const MAX_ENDPOINT_BYTES: usize = 2048;

/// The parts of an http or https URL. The scheme is in lower case, the host is a name, an IPv4 address or an IPv6 address
/// in brackets, and there is no user name and no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpUrl<'a> {
    is_https: bool,
    host: &'a str,
    port: Option<u16>,
    path_and_query: &'a str,
}

/// The rule that a URL breaks. The message does not quote the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The URL does not begin with `https://` or `http://`.
    #[error("must be an https URL")]
    Scheme,
    /// The URL exceeds the size limit.
    #[error("is too long for a URL")]
    TooLong,
    /// The URL has a space, a quote, a backslash, an angle bracket, or a character outside printable ASCII.
    #[error("has a character that is not allowed in a URL")]
    Character,
    /// The URL has a part before an `@` in front of the host.
    #[error("must not contain a user name or a password")]
    UserInfo,
    /// The host is empty or malformed, or the port is not a number from 1 to 65535.
    #[error("must be an https URL with a valid host, such as https://HOST or https://HOST:PORT")]
    Host,
    /// The endpoint has a query or a fragment.
    #[error("must be an https URL without a query")]
    Query,
    /// The URL is http and the host is another machine.
    #[error("must be an https URL; http is allowed for this machine only (http://127.0.0.1:PORT)")]
    Insecure,
}

impl<'a> HttpUrl<'a> {
    /// Splits a URL into its parts. Errors with the rule that the URL breaks.
    pub fn parse(text: &'a str) -> Result<Self, UrlError> {
        let (is_https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(UrlError::Scheme),
        };
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if !text.chars().all(is_allowed) {
            return Err(UrlError::Character);
        }
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_port(authority).ok_or(UrlError::Host)?;
        Ok(Self { is_https, host, port, path_and_query })
    }

    /// Returns whether the scheme is https.
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// Returns the host as it is written; an IPv6 address without its brackets.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// Returns the port, if the URL has one.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns everything after the host and the port: the path, the query and the fragment.
    pub const fn path_and_query(&self) -> &'a str {
        self.path_and_query
    }

    /// Returns whether the host is this machine: `localhost`, an address in `127.0.0.0/8`, or `::1`. Other spellings of
    /// these, such as `127.1`, `localhost.` or `::ffff:127.0.0.1`, count as other machines.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Returns whether no machine on the way can read or change what is sent: the scheme is https, or the host is this
    /// machine.
    pub fn is_secure(&self) -> bool {
        self.is_https || self.is_loopback()
    }
}

/// The endpoint of a service: an https URL, or an http URL of this machine, without a query. Clones share one allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct EndpointUrl(Arc<str>);

impl EndpointUrl {
    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = HttpUrl::parse(text)?;
        if text.len() > MAX_ENDPOINT_BYTES {
            return Err(UrlError::TooLong);
        }
        if url.path_and_query.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        if url.is_secure() { Ok(Self(text.into())) } else { Err(UrlError::Insecure) }
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for EndpointUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Quotes, backslashes and angle brackets are excluded because shells, HTML and browsers give them a meaning.
fn is_allowed(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\')
}

/// Splits `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`. Returns `None` if the text has none of these forms.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, after) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        (address, after)
    } else {
        let (host, after) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        is_name(host).then_some((host, after))?
    };
    match after.strip_prefix(':') {
        None => after.is_empty().then_some((host, None)),
        // `parse` alone would accept "+80".
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(port) if port > 0 => Some((host, Some(port))),
            _ => None,
        },
        Some(_) => None,
    }
}

/// A DNS name, which may end in a dot, or an IPv4 address.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_url_is_split_into_parts() {
        let url = HttpUrl::parse("https://sts.corp:8443/path?query#fragment").unwrap();
        assert_eq!((url.is_https(), url.host(), url.port()), (true, "sts.corp", Some(8443)));
        assert_eq!(url.path_and_query(), "/path?query#fragment");
        let url = HttpUrl::parse("http://[2001:db8::1]?x").unwrap();
        assert_eq!((url.is_https(), url.host(), url.port()), (false, "2001:db8::1", None));
        assert_eq!(url.path_and_query(), "?x");
    }

    #[test]
    fn http_url_loopback_follows_one_rule() {
        for url in [
            "http://localhost",
            "http://LocalHost:1/",
            "http://127.0.0.1:80/",
            "http://127.1.2.3/",
            "http://[::1]:1/",
            "http://[0:0:0:0:0:0:0:1]/",
        ] {
            assert!(HttpUrl::parse(url).unwrap().is_secure(), "{url}");
        }
        for url in [
            "http://localhost.evil.com/",
            "http://127.0.0.1.evil.com/",
            "http://localhost./",
            "http://127.0.0.1./",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/",
            "http://evil.com/http://127.0.0.1/",
            "http://evil.com#127.0.0.1",
            "http://evil.com?@127.0.0.1/",
        ] {
            let parsed = HttpUrl::parse(url).unwrap();
            assert!(!parsed.is_loopback() && !parsed.is_secure(), "{url}");
        }
    }

    #[test]
    fn http_url_ambiguous_forms_rejected() {
        for (url, error) in [
            ("", UrlError::Scheme),
            ("sts.corp", UrlError::Scheme),
            ("ftp://localhost", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("javascript:alert(1)", UrlError::Scheme),
            ("HTTP://localhost", UrlError::Scheme),
            ("Https://sts.corp", UrlError::Scheme),
            (" https://sts.corp", UrlError::Scheme),
            ("http:/\\127.0.0.1/", UrlError::Scheme),
            ("http://evil.com\\@127.0.0.1/", UrlError::Character),
            ("http://127.0.0.1\\.evil.com/", UrlError::Character),
            ("https://sts corp", UrlError::Character),
            ("https://sts.corp/\t", UrlError::Character),
            ("https://sts.corp/\u{e9}", UrlError::Character),
            ("https://x.com/\"; rm -rf ~", UrlError::Character),
            ("https://x.com/`id`", UrlError::Character),
            ("https://x.com/\u{1b}[0m", UrlError::Character),
            ("http://127.0.0.1:80@evil.com/", UrlError::UserInfo),
            ("http://localhost@evil.com/", UrlError::UserInfo),
            ("https://me:secret@sts.corp", UrlError::UserInfo),
            ("https://@sts.corp", UrlError::UserInfo),
            ("https://", UrlError::Host),
            ("https:///x", UrlError::Host),
            ("https://.", UrlError::Host),
            ("https://a..b", UrlError::Host),
            ("https://%6cocalhost", UrlError::Host),
            ("https://sts.corp:", UrlError::Host),
            ("https://sts.corp:0", UrlError::Host),
            ("https://sts.corp:99999", UrlError::Host),
            ("https://sts.corp:+80", UrlError::Host),
            ("https://::1/", UrlError::Host),
            ("https://[::1", UrlError::Host),
            ("https://[::1]x", UrlError::Host),
            ("https://[::1]:", UrlError::Host),
            ("https://[::1%25lo]/", UrlError::Host),
            ("https://[127.0.0.1]/", UrlError::Host),
        ] {
            assert_eq!(HttpUrl::parse(url), Err(error), "{url}");
        }
        let long = format!("https://sts.corp/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(HttpUrl::parse(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn endpoint_url_requires_https_or_loopback() {
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
        for (bad, error) in [
            ("http://sts.corp", UrlError::Insecure),
            ("http://169.254.169.254", UrlError::Insecure),
            ("http://127.0.0.1.evil.com", UrlError::Insecure),
            ("http://127.0.0.1@evil.com", UrlError::UserInfo),
            ("https://sts.corp/?x", UrlError::Query),
            ("https://sts.corp#x", UrlError::Query),
        ] {
            assert_eq!(bad.parse::<EndpointUrl>(), Err(error), "{bad}");
        }
        let long = format!("https://sts.corp/{}", "x".repeat(MAX_ENDPOINT_BYTES));
        assert_eq!(long.parse::<EndpointUrl>(), Err(UrlError::TooLong));
    }
}
