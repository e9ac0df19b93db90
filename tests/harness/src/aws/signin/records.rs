//! The logins that AWS Sign-In knows.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::dpop::ProofKey;

/// How long the credentials of a login last until they are renewed.
pub(crate) const CREDENTIALS_TTL: Duration = Duration::from_mins(15);
/// How long a login can be renewed.
pub(crate) const LOGIN_TTL: Duration = Duration::from_hours(12);
/// The OAuth client of `aws login` on this machine.
pub(crate) const CLIENT: &str = "arn:aws:signin:::devtools/same-device";

/// A login, as AWS stores it.
pub(crate) struct LoginSession {
    pub(crate) arn: String,
    pub(crate) principal: String,
    pub(crate) ends: SystemTime,
    /// The current refresh token; earlier ones are invalid.
    pub(crate) refresh_token: String,
    pub(crate) proof: ProofKey,
    /// Ids of used proofs: each is valid once.
    pub(crate) seen: Vec<String>,
}

/// All logins.
#[derive(Default)]
pub(crate) struct Logins(pub(crate) Vec<LoginSession>);

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|session| &session.arn)).finish()
    }
}
