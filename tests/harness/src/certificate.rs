//! Server certificates, each signed by a CA of its own: the CA of a cluster, or a private CA of a company.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A server certificate and the CA that signed it.
pub(crate) struct ServerCertificate {
    pub(crate) ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl ServerCertificate {
    /// A certificate for 127.0.0.1 and localhost, valid at any time that a test clock shows.
    pub(crate) fn new(cluster: &str) -> Self {
        Self::signed_by(&format!("kubernetes of {cluster}"), "kube-apiserver", &["127.0.0.1", "localhost"])
    }

    /// A certificate for the given names and addresses.
    pub(crate) fn signed_by(authority: &str, server: &str, names: &[&str]) -> Self {
        let ca_key = KeyPair::generate().expect("a key can be made");
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, authority);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = ca.self_signed(&ca_key).expect("a CA can sign itself").pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut leaf = CertificateParams::new(names).expect("these names are names");
        leaf.distinguished_name.push(DnType::CommonName, server);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &issuer).expect("a CA can sign a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes keys that rustls reads");
        Self { ca_pem, chain: vec![leaf.der().clone()], key }
    }

    /// Returns an acceptor for TLS 1.2 and 1.3 with HTTP/1.1.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("the certificate is that of the key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
