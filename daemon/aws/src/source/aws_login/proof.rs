//! Proofs of possession of the key that a refresh token is bound to (RFC 9449, DPoP).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rolecall_protocol::Secret;
use rustls::pki_types::PrivateSec1KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

/// Length of the id of a proof, in bytes.
const ID_BYTES: usize = 16;

/// Signs a proof for a POST to `url` at `now` with a P-256 key in PEM (SEC 1). Returns `None` if it is no such key.
pub(super) fn sign(key_pem: &str, url: &str, now: SystemTime) -> Option<Secret<String>> {
    let key = PrivateSec1KeyDer::from_pem_slice(key_pem.as_bytes()).ok()?;
    let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_sec1_der()).ok()?;
    // An uncompressed point: 0x04, x, y.
    let (x, y) = key.public_key().as_ref().get(1..)?.split_at_checked(32)?;
    let mut id = [0; ID_BYTES];
    aws_lc_rs::rand::fill(&mut id).ok()?;
    let issued = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y) });
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let claims = json!({ "jti": hex::encode(id), "htm": "POST", "htu": url, "iat": issued });
    let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
    Some(Secret::new(format!("{message}.{}", encoded(signature.as_ref()))))
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A key as the AWS CLI writes it.
    pub(in super::super) const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIFDZHUzOG1Pzq+6F0mjMlOSp1syN9LRPBuHMoCFXTcXhoAoGCCqGSM49\n\
        AwEHoUQDQgAE9qhj+KtcdHj1kVgwxWWWw++tqoh7H7UHs7oXh8jBbgF47rrYGC+t\n\
        djiIaHK3dBvvdE7MGj5HsepzLm3Kj91bqA==\n\
        -----END EC PRIVATE KEY-----\n";

    #[test]
    fn sign_proof_is_verified_by_its_own_key() {
        let url = "https://eu-west-1.signin.aws.amazon.com/v1/token";
        let proof = sign(KEY, url, UNIX_EPOCH + Duration::from_hours(500_000)).unwrap();
        let (message, signature) = proof.expose().rsplit_once('.').unwrap();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let parts: Vec<Value> = message.split('.').map(|part| serde_json::from_slice(&decode(part)).unwrap()).collect();
        let [header, claims]: [Value; 2] = parts.try_into().unwrap();
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(url)));
        assert_eq!(claims["iat"], 1_800_000_000);
        let half = |name: &str| decode(header["jwk"][name].as_str().unwrap());
        let point = [vec![4], half("x"), half("y")].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message.as_bytes(), &decode(signature)).unwrap();
        let next = sign(KEY, url, UNIX_EPOCH).unwrap();
        assert_ne!(next.expose().split('.').nth(1), proof.expose().split('.').nth(1), "an id is used once");
    }

    #[test]
    fn sign_with_other_text_is_none() {
        let garbled = KEY.replace("MHcCAQEE", "MHcCAQEF");
        for key in ["", "key", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", &garbled] {
            assert!(sign(key, "https://x/", UNIX_EPOCH).is_none(), "{key}");
        }
    }
}
