//! Proofs of possession of the key of a refresh token (RFC 9449).

use std::time::SystemTime;

use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::time::unix_seconds;

/// How far the time of a proof may differ from AWS's clock, in seconds.
const TOLERANCE: u64 = 300;
/// SEC1 (RFC 5915): the bytes before the private and before the public key of P-256.
const BEFORE_PRIVATE: &[u8] = &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
const BEFORE_PUBLIC: &[u8] =
    &[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00];

/// A P-256 key: the PEM of the machine, and the public key that AWS stores.
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

    /// Returns the id of a proof that is valid for a POST to `url` now.
    pub(crate) fn check(&self, proof: &str, url: &str, now: SystemTime) -> Option<String> {
        let (message, signature) = proof.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let (header, claims) = (decode(header)?, decode(claims)?);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let jwk = &header["jwk"];
        let point = [&jwk["x"], &jwk["y"]].map(|half| URL_SAFE_NO_PAD.decode(text(half)).unwrap_or_default()).concat();
        let claims_valid = text(&header["typ"]) == "dpop+jwt"
            && text(&header["alg"]) == "ES256"
            && (text(&jwk["kty"]), text(&jwk["crv"])) == ("EC".to_owned(), "P-256".to_owned())
            && self.public[1..] == point
            && (text(&claims["htm"]), text(&claims["htu"])) == ("POST".to_owned(), url.to_owned())
            && claims["iat"].as_u64().is_some_and(|at| at.abs_diff(unix_seconds(now)) <= TOLERANCE);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public);
        let is_valid = claims_valid && key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).is_ok();
        Some(text(&claims["jti"])).filter(|id| is_valid && !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use serde_json::json;
    use std::time::{Duration, UNIX_EPOCH};

    const URL: &str = "http://127.0.0.1:1/v1/token";
    const NOW: u64 = 1_800_000_000;

    /// Returns a valid proof of this PEM's key with one claim changed.
    fn proof(pem: &str, claim: &str, value: &Value) -> String {
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(text).unwrap();
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
        let point = pair.public_key().as_ref();
        let half = |half: &[u8]| URL_SAFE_NO_PAD.encode(half);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": half(&point[1..33]), "y": half(&point[33..]) });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let mut claims = json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": NOW });
        claims[claim] = value.clone();
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn dpop_other_key_call_or_time_rejected() {
        let (key, other) = (ProofKey::generate(), ProofKey::generate());
        let check = |proof: &str| key.check(proof, URL, UNIX_EPOCH + Duration::from_secs(NOW));
        let valid = proof(&key.pem, "iat", &json!(NOW - 300));
        assert_eq!(check(&valid).as_deref(), Some("one"));
        assert_eq!(check(&proof(&other.pem, "jti", &json!("one"))), None);
        for (claim, value) in [
            ("iat", json!(NOW - 301)),
            ("iat", json!(NOW + 301)),
            ("htm", json!("GET")),
            ("htu", json!("http://127.0.0.1:2/v1/token")),
            ("jti", json!("")),
        ] {
            assert_eq!(check(&proof(&key.pem, claim, &value)), None, "{claim} {value}");
        }
        let (message, _) = valid.rsplit_once('.').unwrap();
        assert_eq!(check(&format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 64]))), None);
        assert_eq!([check(""), check("a.b"), check("a.b.c")], [None, None, None]);
    }
}
