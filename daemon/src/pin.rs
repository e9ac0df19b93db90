//! The pin of a profile: a kubeconfig with another server or CA gets no token, so that a forged kubeconfig cannot make the plugin
//! send a valid token to an attacker's server (V6).

use rolecall_protocol::{ErrorBody, ErrorCode, ExecCluster, ProfileName, sanitize_for_terminal};

use rolecall_aws::cluster::ca_sha256;
use rolecall_core::config::Pin;

/// Why a kubeconfig gets no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It has another host or port.
    #[error("the kubeconfig names server {named}, but the profile was added with {pinned}")]
    Server {
        /// The server in the kubeconfig, safe to print.
        named: String,
        /// The server of the profile.
        pinned: String,
    },
    /// It has another CA bundle, or none.
    #[error("the kubeconfig trusts another certificate authority than the profile was added with")]
    Authority,
    /// It accepts any server certificate.
    #[error("the kubeconfig has insecure-skip-tls-verify, so any server could receive the token")]
    Insecure,
}

/// Compares the cluster that kubectl is going to call with the profile's pin.
pub fn check(pin: &Pin, cluster: &ExecCluster) -> Result<(), PinError> {
    if cluster.insecure_skip_tls_verify {
        return Err(PinError::Insecure);
    }
    if host(&pin.server).is_none() || host(&pin.server) != host(&cluster.server) {
        let named = sanitize_for_terminal(&cluster.server);
        return Err(PinError::Server { named, pinned: pin.server.clone() });
    }
    let Some(expected) = &pin.ca_sha256 else { return Ok(()) };
    match cluster.certificate_authority_data.as_deref().and_then(ca_sha256) {
        Some(found) if found == *expected => Ok(()),
        _ => Err(PinError::Authority),
    }
}

/// Returns host and port of an https URL, in lower case.
fn host(url: &str) -> Option<String> {
    let rest = url.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://")).and_then(|_| url.get(8..))?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?.to_ascii_lowercase();
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    Some(if has_port { authority } else { format!("{authority}:443") })
}

impl PinError {
    /// Returns the error for the protocol.
    #[must_use]
    pub fn body(&self, name: &ProfileName) -> ErrorBody {
        ErrorBody::new(ErrorCode::PinMismatch, format!("{self}; no token was issued")).hint(format!(
            "Update the kubeconfig: rolecall kubeconfig {name} (with --repin if the cluster was recreated)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "Q0E=";

    fn check_cluster(server: &str, ca: Option<&str>, insecure: bool) -> Result<(), PinError> {
        let pin = Pin { server: "https://abc.eks.amazonaws.com".to_owned(), ca_sha256: ca_sha256(CA) };
        check(
            &pin,
            &ExecCluster {
                server: server.to_owned(),
                certificate_authority_data: ca.map(ToOwned::to_owned),
                insecure_skip_tls_verify: insecure,
            },
        )
    }

    /// Fault matrix row 40.
    #[test]
    fn other_server_gets_no_token() {
        for same in
            ["https://abc.eks.amazonaws.com", "https://ABC.eks.amazonaws.com/", "HTTPS://abc.eks.amazonaws.com:443/x"]
        {
            assert_eq!(check_cluster(same, Some(CA), false), Ok(()), "{same}");
        }
        for other in [
            "",
            "http://abc.eks.amazonaws.com",
            "https://abc.eks.amazonaws.com.evil.com",
            "https://abc.eks.amazonaws.com:8443",
            "https://abc.eks.amazonaws.com@evil.com",
            "https://evil.com\\@abc.eks.amazonaws.com",
            "https://",
        ] {
            assert!(matches!(check_cluster(other, Some(CA), false), Err(PinError::Server { .. })), "{other}");
        }
    }

    /// Fault matrix row 41.
    #[test]
    fn other_certificate_authority_gets_no_token() {
        let server = "https://abc.eks.amazonaws.com";
        assert_eq!(check_cluster(server, Some("Q0I="), false), Err(PinError::Authority));
        assert_eq!(check_cluster(server, None, false), Err(PinError::Authority));
        assert_eq!(check_cluster(server, Some("not base64"), false), Err(PinError::Authority));
        assert_eq!(check_cluster(server, Some(CA), true), Err(PinError::Insecure));
    }
}
