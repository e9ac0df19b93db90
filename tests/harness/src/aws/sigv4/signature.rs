//! The signature itself: scope, string to sign and key derivation.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::encoding::sha256_hex;

/// The only algorithm.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The scope of a signature: one date, region and service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `20150830`
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    /// `20150830/eu-west-1/sts/aws4_request`
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// Returns the signature of a canonical request, in lower-case hex.
pub(crate) fn signature(secret: &str, scope: &Scope, timestamp: &str, canonical_request: &str) -> String {
    let to_sign = format!("{ALGORITHM}\n{timestamp}\n{}\n{}", scope.text(), sha256_hex(canonical_request.as_bytes()));
    let date_key = hmac(format!("AWS4{secret}").as_bytes(), &scope.date);
    let region_key = hmac(&date_key, &scope.region);
    let service_key = hmac(&region_key, &scope.service);
    let signing_key = hmac(&service_key, "aws4_request");
    hex::encode(hmac(&signing_key, &to_sign))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
