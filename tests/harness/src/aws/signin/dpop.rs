//! Proofs that a refresh token's bearer has its key too (RFC 9449).

use std::time::SystemTime;

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::super::web_identity::unix;

/// How far a proof's time may be from AWS's clock.
const TOLERANCE: u64 = 300;
/// SEC1 (RFC 5915), around the private and the public key of P-256.
const BEFORE_PRIVATE: &[u8] = &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
const BEFORE_PUBLIC: &[u8] =
    &[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00];

/// A key of P-256: what the machine keeps, and what AWS knows of it.
pub(crate) struct ProofKey {
    pub(crate) pem: String,
    /// `04`, x and y.
    public: Vec<u8>,
}

impl ProofKey {
    pub(crate) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the machine has randomness");
        let private: EcPrivateKeyBin<'static> = pair.private_key().as_be_bytes().expect("P-256 keys can be written");
        let public = pair.public_key().as_ref().to_vec();
        let der = [BEFORE_PRIVATE, private.as_ref(), BEFORE_PUBLIC, &public].concat();
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", lines.join("\n"));
        Self { pem, public }
    }

    /// The id of a proof that is good for a POST to `url` now.
    pub(crate) fn check(&self, proof: &str, url: &str, now: SystemTime) -> Option<String> {
        let (message, signature) = proof.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let (header, claims) = (decode(header)?, decode(claims)?);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let jwk = &header["jwk"];
        let point = [&jwk["x"], &jwk["y"]].map(|half| URL_SAFE_NO_PAD.decode(text(half)).unwrap_or_default()).concat();
        let formal = text(&header["typ"]) == "dpop+jwt"
            && text(&header["alg"]) == "ES256"
            && (text(&jwk["kty"]), text(&jwk["crv"])) == ("EC".to_owned(), "P-256".to_owned())
            && self.public[1..] == point
            && (text(&claims["htm"]), text(&claims["htu"])) == ("POST".to_owned(), url.to_owned())
            && claims["iat"].as_u64().is_some_and(|at| at.abs_diff(unix(now)) <= TOLERANCE);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public);
        let good = formal && key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).is_ok();
        Some(text(&claims["jti"])).filter(|id| good && !id.is_empty())
    }
}
