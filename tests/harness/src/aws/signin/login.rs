//! A login with `aws login`, as the machine stores it.

use std::fmt;
use std::time::SystemTime;

use crate::aws::access_key::AccessKey;

/// What `aws login` stores after a user has signed in.
#[derive(Clone)]
pub struct Login {
    /// The ARN that an AWS profile names as its `login_session`.
    pub session_arn: String,
    /// The credentials, which last 15 minutes.
    pub key: AccessKey,
    /// Expiry of the credentials.
    pub expires: SystemTime,
    pub(crate) account: String,
    pub(crate) refresh_token: String,
    /// SEC1 PEM.
    pub(crate) dpop_key: String,
}

/// Shows no secrets.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("session_arn", &self.session_arn).field("key", &self.key).finish_non_exhaustive()
    }
}
