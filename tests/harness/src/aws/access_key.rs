//! What a caller signs with.

use std::fmt;

/// An access key and, for temporary credentials, its session token.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…` for a user's key, `ASIA…` for a session's.
    pub id: String,
    /// The secret half.
    pub secret: String,
    /// Whose key it is: the user's ARN, or the assumed-role ARN of a session.
    pub arn: String,
    /// Only temporary credentials have one.
    pub session_token: Option<String>,
}

/// Names whose key it is and keeps the secrets: assertion messages end up in CI logs, which the leak checks read.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("arn", &self.arn).finish_non_exhaustive()
    }
}
