//! Tokens of an identity provider outside AWS, such as a CI system or a cluster's own.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::handle::AwsHandle;
use crate::random::{bytes, request_id};

/// Who issues them.
pub(crate) const PROVIDER: &str = "https://issuer.example.com";
/// Whom they are for.
pub(crate) const AUDIENCE: &str = "sts.amazonaws.com";

impl AwsHandle {
    /// A token that STS believes for an hour, of this subject (`repo:acme/shop:ref:refs/heads/main`).
    pub fn web_identity_token(&self, subject: &str) -> String {
        self.web_identity_token_for(subject, Duration::from_hours(1))
    }

    /// As [`AwsHandle::web_identity_token`], for as long as it says.
    pub fn web_identity_token_for(&self, subject: &str, lifetime: Duration) -> String {
        let now = self.world.clock.now();
        let token = jwt(subject, now, now + lifetime);
        let mut state = self.world.state();
        state.identities.add_secret("a web identity token", &token);
        let identity = WebIdentity { subject: subject.to_owned(), expires: now + lifetime };
        state.identities.web.0.insert(token.clone(), identity);
        token
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WebIdentity {
    pub(crate) subject: String,
    pub(crate) expires: SystemTime,
}

/// The tokens that STS believes.
#[derive(Debug, Default)]
pub(crate) struct WebIdentities(HashMap<String, WebIdentity>);

impl WebIdentities {
    pub(crate) fn find(&self, token: &str) -> Option<&WebIdentity> {
        self.0.get(token)
    }
}

/// The table says which tokens are good, so the signature is only as long as one.
fn jwt(subject: &str, from: SystemTime, until: SystemTime) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "RS256", "kid": "embedded", "typ": "JWT" });
    let claims = json!({
        "iss": PROVIDER, "sub": subject, "aud": AUDIENCE, "jti": request_id(), "iat": unix(from), "exp": unix(until),
    });
    format!("{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode(bytes(256)))
}

/// Seconds since 1970.
pub(crate) fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).expect("tests are not before 1970").as_secs()
}
