//! Errors of connections, as sentences for the user.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::Timestamp;
use rolecall_protocol::sanitize_for_terminal;
use rustls::{CertificateError, Error as TlsError};

use crate::causes::{causes, innermost};
use crate::texts::{self, TunnelError};

/// How long a DNS lookup may take (B12). The system's own timeout is minutes.
pub(crate) const DNS_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no connection, or no response on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The host does not exist, while other hosts are found.
    UnknownHost,
    /// No name can be resolved.
    NoDns,
    /// The host has no valid certificate. Nothing was sent.
    Certificate(CertificateProblem),
    /// The host refuses the connection.
    Refused,
    /// This computer has no network path to the host.
    NoRoute,
    /// The connection was closed before a response.
    Closed,
    /// No response in time.
    TimedOut,
    /// The proxy gave no connection.
    Proxy(ProxyProblem),
    /// The host speaks no TLS, or none that this version speaks.
    NotTls,
    /// Another failure.
    Other,
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateProblem {
    /// An authority that is not trusted signed it.
    UnknownIssuer,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is for another host.
    OtherHost,
    /// Another problem.
    Other,
}

/// Why a proxy gives no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProblem {
    /// It requires a user name and a password.
    LoginRequired,
    /// It refuses to connect to the host.
    Refused,
    /// The server at its address is not a proxy.
    NotAProxy,
    /// It cannot be reached.
    Unreachable,
}

/// A call without a response, with the host that it was for.
#[derive(Debug)]
pub(crate) struct NoResponse {
    pub(crate) host: String,
    /// Whether the call goes through a proxy.
    is_proxied: bool,
    cause: ConnectorError,
}

/// Why a name has no address.
#[derive(Debug)]
pub(crate) enum DnsError {
    /// No answer in time.
    TimedOut { name: String },
    /// The name does not exist, while another name of AWS does.
    Unknown { name: String },
    /// No name can be resolved.
    Failed { name: String, cause: io::Error },
}

impl NoResponse {
    /// Adds the host to an error. An error of the request itself stays as it is.
    pub(crate) fn wrap(host: &str, is_proxied: bool, cause: ConnectorError) -> ConnectorError {
        let (is_user, is_timeout) = (cause.is_user(), cause.is_timeout());
        let error = Box::new(Self { host: host.to_owned(), is_proxied, cause });
        match (is_user, is_timeout) {
            (true, _) => ConnectorError::user(error),
            (_, true) => ConnectorError::timeout(error),
            _ => ConnectorError::io(error),
        }
    }
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response from {}", self.host)
    }
}

impl Error for NoResponse {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { name } => write!(f, "no DNS response for {name} within {} s", DNS_TIMEOUT.as_secs()),
            Self::Unknown { name } => write!(f, "there is no host {name}, and other names are found"),
            Self::Failed { name, .. } => write!(f, "the name {name} cannot be resolved"),
        }
    }
}

impl Error for DnsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { cause, .. } => Some(cause),
            Self::TimedOut { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// The host of a call without a response; `None` if the error is another.
pub(crate) fn host_of(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(|cause| cause.downcast_ref::<NoResponse>()).map(|error| error.host.clone())
}

/// What failed, with a sentence, for an error of a connection.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> (ConnectionFailure, String) {
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<TlsError>() {
            return of_tls(tls);
        }
        match cause.downcast_ref::<DnsError>() {
            Some(unknown @ DnsError::Unknown { .. }) => return (ConnectionFailure::UnknownHost, shown(unknown)),
            Some(other) => return (ConnectionFailure::NoDns, shown(other)),
            None => {}
        }
        if let Some(tunnel) = texts::tunnel_error(cause) {
            let (problem, message) = match tunnel {
                TunnelError::LoginRequired => {
                    (ProxyProblem::LoginRequired, "the proxy requires a user name and a password")
                }
                TunnelError::Refused => (ProxyProblem::Refused, "the proxy refuses to connect to it"),
                TunnelError::NotAProxy => {
                    (ProxyProblem::NotAProxy, "what answers at the address of the proxy is not a proxy")
                }
            };
            return (ConnectionFailure::Proxy(problem), message.to_owned());
        }
    }
    let kind = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
    let is_proxied = causes(error).any(|cause| cause.downcast_ref::<NoResponse>().is_some_and(|call| call.is_proxied));
    let closed = || (ConnectionFailure::Closed, "the connection was closed before a response".to_owned());
    match kind {
        // This computer connects to the proxy only.
        Some(io::ErrorKind::ConnectionRefused) if is_proxied => {
            (ConnectionFailure::Proxy(ProxyProblem::Unreachable), "the connection to the proxy is refused".to_owned())
        }
        Some(io::ErrorKind::ConnectionRefused) => (ConnectionFailure::Refused, "the connection is refused".to_owned()),
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => closed(),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown) => {
            let (failure, host) = if is_proxied {
                (ConnectionFailure::Proxy(ProxyProblem::Unreachable), "the proxy")
            } else {
                (ConnectionFailure::NoRoute, "it")
            };
            (failure, format!("this computer has no network path to {host}"))
        }
        Some(io::ErrorKind::TimedOut) => (ConnectionFailure::TimedOut, "no response in time".to_owned()),
        _ if causes(error).any(texts::is_closed_early) => closed(),
        _ => (ConnectionFailure::Other, innermost(error)),
    }
}

fn of_tls(error: &TlsError) -> (ConnectionFailure, String) {
    let date = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
    };
    let (problem, message) = match error {
        TlsError::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => (
                CertificateProblem::UnknownIssuer,
                "its certificate is signed by an authority that this computer does not trust".to_owned(),
            ),
            CertificateError::ExpiredContext { not_after, .. } => {
                (CertificateProblem::Expired, format!("its certificate expired on {}", date(not_after.as_secs())))
            }
            CertificateError::Expired => (CertificateProblem::Expired, "its certificate has expired".to_owned()),
            CertificateError::NotValidYetContext { not_before, .. } => (
                CertificateProblem::NotYetValid,
                format!("its certificate is not valid before {}", date(not_before.as_secs())),
            ),
            CertificateError::NotValidYet => {
                (CertificateProblem::NotYetValid, "its certificate is not valid yet".to_owned())
            }
            CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                (CertificateProblem::OtherHost, format!("its certificate is for another host: {}", names(presented)))
            }
            CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => {
                (CertificateProblem::OtherHost, "its certificate is for another host".to_owned())
            }
            CertificateError::Revoked => (CertificateProblem::Other, "its certificate is revoked".to_owned()),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                (CertificateProblem::Other, "its certificate is not one of a server".to_owned())
            }
            _ => (CertificateProblem::Other, "its certificate is not valid".to_owned()),
        },
        TlsError::InvalidMessage(_) => {
            return (ConnectionFailure::NotTls, "it does not speak TLS, so it is not an https server".to_owned());
        }
        TlsError::PeerIncompatible(_) => {
            return (ConnectionFailure::NotTls, "it speaks neither TLS 1.2 nor TLS 1.3 with known ciphers".to_owned());
        }
        _ => return (ConnectionFailure::Closed, "it ended the TLS handshake".to_owned()),
    };
    (ConnectionFailure::Certificate(problem), message)
}

/// The first names in a certificate. Each is `DnsName("…")` or `IpAddress(…)` in the form of rustls.
fn names(presented: &[String]) -> String {
    let name = |text: &String| {
        let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(text);
        inner.trim_matches('"').to_owned()
    };
    let first: Vec<String> = presented.iter().take(3).map(name).collect();
    let more = if presented.len() > first.len() { " and others" } else { "" };
    sanitize_for_terminal(&format!("{}{more}", first.join(", ")))
}

fn shown(error: &DnsError) -> String {
    sanitize_for_terminal(&error.to_string())
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn sentence(cause: impl Error + Send + Sync + 'static) -> (ConnectionFailure, String) {
        let error = NoResponse::wrap("sts.example", false, ConnectorError::io(Box::new(io::Error::other(cause))));
        assert_eq!(host_of(&error).as_deref(), Some("sts.example"));
        describe(&error)
    }

    /// Fault matrix row 67.
    #[test]
    fn describe_tls_error_is_a_sentence() {
        let at = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from("sts.example").unwrap();
        for (error, problem, expected) in [
            (
                CertificateError::UnknownIssuer,
                CertificateProblem::UnknownIssuer,
                "its certificate is signed by an authority that this computer does not trust",
            ),
            (
                CertificateError::ExpiredContext { time: at(0), not_after: at(1_767_323_045) },
                CertificateProblem::Expired,
                "its certificate expired on 2026-01-02",
            ),
            (
                CertificateError::NotValidYetContext { time: at(0), not_before: at(1_767_323_045) },
                CertificateProblem::NotYetValid,
                "its certificate is not valid before 2026-01-02",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: name.clone(),
                    presented: vec!["DnsName(\"a.example\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
                },
                CertificateProblem::OtherHost,
                "its certificate is for another host: a.example, 10.0.0.1",
            ),
            (
                CertificateError::NotValidForNameContext { expected: name, presented: vec![] },
                CertificateProblem::OtherHost,
                "its certificate is for another host",
            ),
            (CertificateError::BadSignature, CertificateProblem::Other, "its certificate is not valid"),
        ] {
            assert_eq!(sentence(TlsError::from(error)), (ConnectionFailure::Certificate(problem), expected.to_owned()));
        }
        let plain = sentence(TlsError::InvalidMessage(InvalidMessage::InvalidContentType));
        assert_eq!(
            plain,
            (ConnectionFailure::NotTls, "it does not speak TLS, so it is not an https server".to_owned())
        );
    }

    #[test]
    fn describe_network_error_is_a_sentence() {
        let of = |kind: io::ErrorKind| describe(&io::Error::from(kind));
        let refused = (ConnectionFailure::Refused, "the connection is refused".to_owned());
        assert_eq!(of(io::ErrorKind::ConnectionRefused), refused);
        let no_route = (ConnectionFailure::NoRoute, "this computer has no network path to it".to_owned());
        assert_eq!(of(io::ErrorKind::NetworkUnreachable), no_route);
        assert_eq!(of(io::ErrorKind::TimedOut).0, ConnectionFailure::TimedOut);
        assert_eq!(of(io::ErrorKind::UnexpectedEof).0, ConnectionFailure::Closed);
        let unknown = sentence(DnsError::Unknown { name: "sts.eu-wset-1.amazonaws.com".to_owned() });
        assert_eq!(unknown.0, ConnectionFailure::UnknownHost);
        let failed = DnsError::Failed { name: "sts.example".to_owned(), cause: io::Error::other("EAI_AGAIN") };
        assert_eq!(sentence(failed), (ConnectionFailure::NoDns, "the name sts.example cannot be resolved".to_owned()));
    }

    #[test]
    fn describe_refused_connection_of_a_proxied_call_is_about_the_proxy() {
        let through_proxy = |kind: io::ErrorKind| {
            let error = NoResponse::wrap("sts.example", true, ConnectorError::io(Box::new(io::Error::from(kind))));
            describe(&error)
        };
        let unreachable = ConnectionFailure::Proxy(ProxyProblem::Unreachable);
        assert_eq!(
            through_proxy(io::ErrorKind::ConnectionRefused),
            (unreachable, "the connection to the proxy is refused".to_owned())
        );
        assert_eq!(
            through_proxy(io::ErrorKind::HostUnreachable),
            (unreachable, "this computer has no network path to the proxy".to_owned())
        );
    }
}
