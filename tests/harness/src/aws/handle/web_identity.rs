//! Web identity tokens, through the handle.

use std::time::Duration;

use super::AwsHandle;
use crate::aws::web_identity::{WebIdentity, jwt};

impl AwsHandle {
    /// Returns a token of this subject (`repo:acme/shop:ref:refs/heads/main`) that STS accepts for an hour.
    pub fn web_identity_token(&self, subject: &str) -> String {
        self.web_identity_token_for(subject, Duration::from_hours(1))
    }

    /// As [`AwsHandle::web_identity_token`], with another lifetime.
    pub fn web_identity_token_for(&self, subject: &str, lifetime: Duration) -> String {
        let now = self.shared.clock.now();
        let token = jwt(subject, now, now + lifetime);
        let mut state = self.shared.state();
        state.identities.add_secret("a web identity token", &token);
        let identity = WebIdentity { subject: subject.to_owned(), expires: now + lifetime };
        state.identities.web.insert(&token, identity);
        token
    }
}
