//! The pin: a kubeconfig that names another server or another CA than the profile was added with gets no token, so a
//! forged kubeconfig cannot make an honest plugin hand a live token to a stranger's server (V6).

use rolecall_protocol::{ErrorBody, ErrorCode, ExecCluster, ProfileName, sanitize_for_terminal};

use rolecall_aws::cluster::ca_sha256;
use rolecall_core::config::Pin;

/// Why kubectl gets no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Another host or port.
    #[error("the kubeconfig sends the token to {named}, this profile was added with {pinned}")]
    Server {
        /// What the kubeconfig says, made safe for a terminal.
        named: String,
        /// What it should say.
        pinned: String,
    },
    /// Another CA bundle, or none.
    #[error("the kubeconfig trusts another certificate authority than this profile was added with")]
    Authority,
    /// Anybody could be the server.
    #[error("the kubeconfig says insecure-skip-tls-verify, so anybody could take the token")]
    Insecure,
}

/// Compares what kubectl is about to talk to with what the profile was added with.
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

/// Host and port of an https URL, in lower case.
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
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, name: &ProfileName) -> ErrorBody {
        ErrorBody::new(ErrorCode::PinMismatch, format!("{self}; no token was given")).hint(format!(
            "Write the context anew: rolecall kubeconfig {name} (and with --repin if the cluster was really made anew)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "Q0E=";

    fn asked(server: &str, ca: Option<&str>, insecure: bool) -> Result<(), PinError> {
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

    #[test]
    fn row_40_another_server_gets_no_token() {
        for same in
            ["https://abc.eks.amazonaws.com", "https://ABC.eks.amazonaws.com/", "HTTPS://abc.eks.amazonaws.com:443/x"]
        {
            assert_eq!(asked(same, Some(CA), false), Ok(()), "{same}");
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
            assert!(matches!(asked(other, Some(CA), false), Err(PinError::Server { .. })), "{other}");
        }
    }

    #[test]
    fn row_41_another_authority_gets_no_token() {
        let server = "https://abc.eks.amazonaws.com";
        assert_eq!(asked(server, Some("Q0I="), false), Err(PinError::Authority));
        assert_eq!(asked(server, None, false), Err(PinError::Authority));
        assert_eq!(asked(server, Some("not base64"), false), Err(PinError::Authority));
        assert_eq!(asked(server, Some(CA), true), Err(PinError::Insecure));
    }
}
