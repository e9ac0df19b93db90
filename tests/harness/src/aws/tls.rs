//! AWS over TLS, with a CA that no system trusts.

use std::net::SocketAddr;
use std::sync::Arc;

use super::dispatch;
use super::state::SharedAws;
use crate::certificate::ServerCertificate;
use crate::serve::Server;

/// A TLS port of an embedded AWS. Dropping it closes this port only.
#[derive(Debug)]
pub struct OverTls {
    server: Server,
    ca_pem: String,
}

impl OverTls {
    pub(crate) fn start(shared: Arc<SharedAws>, names: &[&str]) -> Self {
        let certificate = ServerCertificate::signed_by("a company", "aws", names);
        let answer = move |request| dispatch::respond(Arc::clone(&shared), request);
        Self { server: Server::start("aws-over-tls", Some(certificate.acceptor()), answer), ca_pem: certificate.ca_pem }
    }

    /// Returns `https://localhost:PORT`, for a certificate of that name.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.addr().port())
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Returns the certificate of its CA in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}
