//! Failures of connections: their codes, and what kubectl prints for them.

use rolecall_aws::error::{CertificateProblem, ConnectionFailure};

/// Returns the end of the code of a failure: `sts_` or `api_server_` stands before it.
pub(super) const fn code(failure: ConnectionFailure) -> &'static str {
    match failure {
        ConnectionFailure::UnknownHost => "unknown_host",
        ConnectionFailure::NoDns => "no_dns",
        ConnectionFailure::Certificate(CertificateProblem::Expired | CertificateProblem::NotYetValid) => {
            "certificate_expired"
        }
        ConnectionFailure::Certificate(_) => "untrusted",
        ConnectionFailure::Proxy(_) => "proxy_failed",
        ConnectionFailure::NotTls => "no_tls",
        ConnectionFailure::Refused
        | ConnectionFailure::NoRoute
        | ConnectionFailure::Closed
        | ConnectionFailure::TimedOut
        | ConnectionFailure::Other => "unreachable",
    }
}

/// Returns what kubectl prints if it cannot connect to a host (`net`, `crypto/tls` and `crypto/x509` of Go, and `CheckErr` of
/// kubectl).
pub(super) fn kubectl_message(failure: ConnectionFailure, host: &str) -> String {
    let cause = match failure {
        ConnectionFailure::Refused => {
            return format!(
                "kubectl: The connection to the server {host} was refused - did you specify the right host or port?"
            );
        }
        ConnectionFailure::UnknownHost | ConnectionFailure::NoDns => format!("dial tcp: lookup {host}: no such host"),
        ConnectionFailure::Certificate(problem) => {
            let problem = match problem {
                CertificateProblem::Expired | CertificateProblem::NotYetValid => {
                    "certificate has expired or is not yet valid"
                }
                CertificateProblem::OtherHost => "certificate is valid for another host",
                CertificateProblem::UnknownIssuer | CertificateProblem::Other => {
                    "certificate signed by unknown authority"
                }
            };
            format!("tls: failed to verify certificate: x509: {problem}")
        }
        ConnectionFailure::NoRoute => format!("dial tcp {host}: connect: no route to host"),
        ConnectionFailure::TimedOut => format!("dial tcp {host}: i/o timeout"),
        ConnectionFailure::Closed => "EOF".to_owned(),
        ConnectionFailure::NotTls => "http: server gave HTTP response to HTTPS client".to_owned(),
        ConnectionFailure::Proxy(_) => "proxyconnect tcp, if it uses this proxy".to_owned(),
        ConnectionFailure::Other => format!("dial tcp {host}"),
    };
    format!("kubectl: Unable to connect to the server: {cause}")
}
