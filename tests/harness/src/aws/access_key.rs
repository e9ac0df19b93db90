//! Access keys.

use std::fmt;

/// An access key and, for temporary credentials, its session token.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…` for a user, `ASIA…` for a session.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The ARN of its principal: the user, or the assumed role of a session.
    pub arn: String,
    /// The session token, of temporary credentials only.
    pub session_token: Option<String>,
}

/// Shows id and principal without the secrets: the leak checks also read the messages of failed assertions.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("arn", &self.arn).finish_non_exhaustive()
    }
}
