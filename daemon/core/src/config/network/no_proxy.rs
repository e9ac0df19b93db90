//! `no_proxy`: the hosts that are called without the proxy, in the forms of curl and of Go's `httpproxy`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The longest list, in bytes.
const MAX_BYTES: usize = 4096;

/// Hosts that are called without the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

/// One entry of the list. Without a port, it is for every port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// `*`: every host.
    Any,
    /// `corp`, `.corp` or `*.corp`, in lower case and without the dot: the domain and the names below it.
    Domain(String),
    /// An address or a network such as `10.0.0.0/8`.
    Network(IpNet),
}

impl NoProxy {
    /// Parses a list that is separated by commas or spaces; empty entries count for nothing. `None` if an entry has another form.
    fn parse(text: &str) -> Option<Self> {
        let entries = text.split([',', ' ']).filter(|entry| !entry.is_empty());
        entries.map(Entry::parse).collect::<Option<_>>().map(Self)
    }

    /// Whether a host is called without the proxy. An IPv6 address has no brackets.
    #[must_use]
    pub fn contains(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_host = |entry: &Entry| match (&entry.host, address) {
            (Host::Any, _) => true,
            (Host::Network(network), Some(address)) => network.contains(&address),
            (Host::Domain(domain), None) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Host::Network(_), None) | (Host::Domain(_), Some(_)) => false,
        };
        self.0.iter().any(|entry| is_host(entry) && entry.port.is_none_or(|known| known == port))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(host) = Host::parse(text) {
            return Some(Self { host, port: None });
        }
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: Host::parse(host)?, port: Some(port.parse().ok()?) })
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        let domain = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text).trim_end_matches('.');
        let is_name =
            !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        is_name.then(|| Self::Domain(domain.to_ascii_lowercase()))
    }
}

/// In the form that most programs read: a domain with a dot before it.
impl fmt::Display for NoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Entry { host, port }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Any => f.write_str("*")?,
                Host::Domain(domain) => write!(f, ".{domain}")?,
                Host::Network(network) if network.prefix_len() == network.max_prefix_len() => match network.addr() {
                    IpAddr::V6(address) if port.is_some() => write!(f, "[{address}]")?,
                    address => write!(f, "{address}")?,
                },
                Host::Network(network) => write!(f, "{network}")?,
            }
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for NoProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).filter(|_| text.len() <= MAX_BYTES).ok_or_else(|| {
            D::Error::custom(
                "must be domains, addresses and networks separated by commas, such as \"10.0.0.0/8,.corp,host:443\"",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_every_form_of_curl_and_go() {
        for (list, host, port, is_direct) in [
            ("corp", "corp", 443, true),
            ("corp", "sts.CORP.", 443, true),
            ("corp", "notcorp", 443, false),
            (".corp", "sts.corp", 443, true),
            ("*.corp", "sts.corp", 443, true),
            ("*.corp", "sts.corp.example", 443, false),
            ("a.example,*.corp,", "x.y.corp", 443, true),
            ("a b", "b", 443, true),
            ("sts.corp:8443", "sts.corp", 8443, true),
            ("sts.corp:8443", "sts.corp", 443, false),
            ("*:80", "x", 80, true),
            ("*", "10.0.0.1", 443, true),
            ("10.0.0.0/8", "10.1.2.3", 443, true),
            ("10.0.0.0/8", "11.1.2.3", 443, false),
            ("10.0.0.1:443", "10.0.0.1", 443, true),
            ("10.0.0.1:443", "10.0.0.1", 80, false),
            ("10.0.0.0/8", "10.corp", 443, false),
            ("fd00::/8", "fd00:ec2::254", 443, true),
            ("[::1]:443", "::1", 443, true),
            ("::1", "::1", 443, true),
            ("", "corp", 443, false),
        ] {
            assert_eq!(NoProxy::parse(list).unwrap().contains(host, port), is_direct, "{list} {host}:{port}");
        }
    }

    #[test]
    fn parse_other_forms_are_rejected() {
        for list in ["10.0.0.0/999", "x:port", "x:99999", "http://x", "a*.corp", ".", "*.", "x/8", "[x]"] {
            assert_eq!(NoProxy::parse(list), None, "{list}");
        }
    }

    #[test]
    fn display_is_read_back_as_the_same_list() {
        let list = NoProxy::parse("*,*.corp,a.b:8443,10.0.0.1,10.0.0.0/8,[::1]:443,fd00::/8,").unwrap();
        assert_eq!(list.to_string(), "*,.corp,.a.b:8443,10.0.0.1,10.0.0.0/8,[::1]:443,fd00::/8");
        assert_eq!(NoProxy::parse(&list.to_string()), Some(list));
    }
}
