//! The certificate authority of the control plane, and what it signs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rolecall_harness::Sandbox;

/// A certificate authority whose files are in a sandbox.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) file: PathBuf,
}

/// The files of a certificate and its key, in PEM.
#[derive(Debug)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "kubernetes");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = ca.self_signed(&key).unwrap().pem();
        let file = sandbox.write("pki/ca.pem", &pem);
        Self { issuer: Issuer::new(ca, key), pem, file }
    }

    /// Signs the certificate of a server on 127.0.0.1. Writes `FOLDER/cert.pem` and `FOLDER/key.pem`.
    pub(crate) fn server(&self, sandbox: &Sandbox, folder: &str) -> CertificateFiles {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, folder);
        self.sign(sandbox, folder, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Signs the client certificate of a user in `system:masters`.
    pub(crate) fn administrator(&self, sandbox: &Sandbox) -> CertificateFiles {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "administrator");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        self.sign(sandbox, "administrator", params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        sandbox: &Sandbox,
        folder: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> CertificateFiles {
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        CertificateFiles {
            certificate: sandbox.write(format!("pki/{folder}/cert.pem"), &certificate.pem()),
            key: sandbox.write(format!("pki/{folder}/key.pem"), &key.serialize_pem()),
        }
    }
}

/// Writes the key that signs the tokens of service accounts. Returns the files of the key and of its public key.
pub(crate) fn service_account_key(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let private = sandbox.write("pki/service-account.pem", &key.serialize_pem());
    (private, sandbox.write("pki/service-account.pub", &key.public_key_pem()))
}
