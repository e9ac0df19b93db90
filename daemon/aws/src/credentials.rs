//! The one check of credentials, whether a source, STS, IAM or IAM Identity Center returned them.
//!
//! Credentials become parts of a URL and of HTTP headers. A character that is not allowed there makes the signer of the SDK
//! panic, and a session token above 64 KiB exceeds the longest URL of the `http` crate.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use rolecall_core::config::MFA_SESSION_RANGE;

/// The length limits, in bytes. IAM's longest key id has 128; a secret of AWS has 40; a session token with tags and policies has
/// up to 4 KiB.
const MAX_KEY_ID: usize = 128;
const MAX_SECRET: usize = 1024;
const MAX_SESSION_TOKEN: usize = 16 * 1024;

/// Why credentials are not usable. The message does not quote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A part is missing.
    #[error("{0} is empty")]
    Empty(Part),
    /// A part begins or ends with white space, as text that was pasted or printed with a line break.
    #[error("{0} {1}")]
    WhiteSpace(Part, WhiteSpace),
    /// A part has a character that AWS does not use.
    #[error("{part} has a character that is not allowed in it: U+{character:04X}, number {position}")]
    Character {
        /// The part.
        part: Part,
        /// The first such character. It is a control character, a space, or not ASCII, so it reveals nothing.
        character: u32,
        /// The number of the character, from 1.
        position: usize,
    },
    /// A part is too long.
    #[error("{part} has {length} bytes, the limit is {limit}")]
    TooLong {
        /// The part.
        part: Part,
        /// Its length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// A part of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The id of the access key.
    KeyId,
    /// The secret access key.
    Secret,
    /// The session token of temporary credentials.
    SessionToken,
}

/// White space at an end of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhiteSpace {
    /// At the end, with a line break in it.
    EndingLineBreak,
    /// At the end.
    Ending,
    /// At the beginning.
    Beginning,
}

/// Returns the credentials if each part has characters and a length that AWS uses. An expiry later than that of AWS's longest
/// sessions (36 h) becomes that.
pub fn check(credentials: Credentials, now: SystemTime) -> Result<Credentials, CredentialsError> {
    let is_key_id = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_graphic = |c: char| c.is_ascii_graphic();
    check_part(Part::KeyId, credentials.access_key_id(), MAX_KEY_ID, is_key_id)?;
    check_part(Part::Secret, credentials.secret_access_key(), MAX_SECRET, is_graphic)?;
    if let Some(token) = credentials.session_token() {
        check_part(Part::SessionToken, token, MAX_SESSION_TOKEN, is_graphic)?;
    }
    let latest = now + *MFA_SESSION_RANGE.end();
    let mut credentials = credentials;
    if let Some(expiry) = credentials.expiry_mut() {
        *expiry = (*expiry).min(latest);
    }
    Ok(credentials)
}

fn check_part(part: Part, text: &str, limit: usize, is_allowed: impl Fn(char) -> bool) -> Result<(), CredentialsError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(CredentialsError::Empty(part));
    }
    let ending = text.len() - text.trim_end().len();
    if ending > 0 {
        let has_line_break = text.bytes().rev().take(ending).any(|byte| matches!(byte, b'\n' | b'\r'));
        let what = if has_line_break { WhiteSpace::EndingLineBreak } else { WhiteSpace::Ending };
        return Err(CredentialsError::WhiteSpace(part, what));
    }
    if trimmed.len() < text.len() {
        return Err(CredentialsError::WhiteSpace(part, WhiteSpace::Beginning));
    }
    if text.len() > limit {
        return Err(CredentialsError::TooLong { part, length: text.len(), limit });
    }
    match text.chars().zip(1..).find(|(c, _)| !is_allowed(*c)) {
        Some((c, position)) => Err(CredentialsError::Character { part, character: u32::from(c), position }),
        None => Ok(()),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyId => "the access key id",
            Self::Secret => "the secret access key",
            Self::SessionToken => "the session token",
        })
    }
}

impl fmt::Display for WhiteSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndingLineBreak => "ends with a line break",
            Self::Ending => "ends with white space",
            Self::Beginning => "begins with white space",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn error_of(id: &str, secret: &str, token: Option<&str>) -> Option<String> {
        let credentials = Credentials::new(id, secret, token.map(str::to_owned), None, "test");
        check(credentials, SystemTime::UNIX_EPOCH).err().map(|error| error.to_string())
    }

    #[test]
    fn check_usual_credentials_pass() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert_eq!(error_of("AKIDEXAMPLE", secret, None), None);
        assert_eq!(error_of("test", "test", None), None, "the keys of an emulator of AWS");
        assert_eq!(error_of("ASIA_1", secret, Some(&"IQoJb3J/+=".repeat(400))), None);
    }

    /// Fault matrix row 65.
    #[test]
    fn check_unusable_part_is_named_and_not_quoted() {
        let long = "x".repeat(70_000);
        for (id, secret, token, expected) in [
            ("", "s", None, "the access key id is empty"),
            ("\n", "s", None, "the access key id is empty"),
            ("AKIA\n", "s", None, "the access key id ends with a line break"),
            ("AK\nIA", "s", None, "the access key id has a character that is not allowed in it: U+000A, number 3"),
            ("AKIA\0X", "s", None, "the access key id has a character that is not allowed in it: U+0000, number 5"),
            ("AKIA/X", "s", None, "the access key id has a character that is not allowed in it: U+002F, number 5"),
            ("AKIA", " ", None, "the secret access key is empty"),
            ("AKIA", "s ", None, "the secret access key ends with white space"),
            ("AKIA", "s\r\n", None, "the secret access key ends with a line break"),
            (
                "AKIA",
                "s\u{e9}",
                None,
                "the secret access key has a character that is not allowed in it: U+00E9, number 2",
            ),
            ("AKIA", "s", Some(""), "the session token is empty"),
            ("AKIA", "s", Some("t\n"), "the session token ends with a line break"),
            ("AKIA", "s", Some("\tt"), "the session token begins with white space"),
            ("AKIA", "s", Some("a b"), "the session token has a character that is not allowed in it: U+0020, number 2"),
            ("AKIA", "s", Some(&long), "the session token has 70000 bytes, the limit is 16384"),
            (&long, "s", None, "the access key id has 70000 bytes, the limit is 128"),
        ] {
            assert_eq!(error_of(id, secret, token).as_deref(), Some(expected));
        }
    }

    /// Fault matrix row 65.
    #[test]
    fn check_far_expiry_is_limited() {
        let now = SystemTime::UNIX_EPOCH;
        let expiry_of = |hours: u64| {
            let expiry = Some(now + Duration::from_hours(hours));
            check(Credentials::new("AKIA", "s", None, expiry, "test"), now).unwrap().expiry().unwrap()
        };
        assert_eq!(expiry_of(12), now + Duration::from_hours(12));
        assert_eq!(expiry_of(8000 * 365 * 24), now + Duration::from_hours(36));
    }
}
