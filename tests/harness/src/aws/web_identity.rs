//! Tokens of an identity provider outside AWS, such as a CI system or a cluster.

use std::collections::HashMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::random::{bytes, request_id};
use crate::time::unix_seconds;

/// The issuer.
pub(crate) const PROVIDER: &str = "https://issuer.example.com";
/// The audience.
pub(crate) const AUDIENCE: &str = "sts.amazonaws.com";

#[derive(Clone, Debug)]
pub(crate) struct WebIdentity {
    pub(crate) subject: String,
    pub(crate) expires: SystemTime,
}

/// The tokens that STS accepts.
#[derive(Debug, Default)]
pub(crate) struct WebIdentities(HashMap<String, WebIdentity>);

impl WebIdentities {
    pub(crate) fn insert(&mut self, token: &str, identity: WebIdentity) {
        self.0.insert(token.to_owned(), identity);
    }

    pub(crate) fn find(&self, token: &str) -> Option<&WebIdentity> {
        self.0.get(token)
    }
}

/// Returns a JWT. STS looks tokens up, so the signature is random bytes of the usual length.
pub(crate) fn jwt(subject: &str, from: SystemTime, until: SystemTime) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "RS256", "kid": "embedded", "typ": "JWT" });
    let claims = json!({
        "iss": PROVIDER, "sub": subject, "aud": AUDIENCE, "jti": request_id(), "iat": unix_seconds(from), "exp": unix_seconds(until),
    });
    format!("{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode(bytes(256)))
}
