//! The access key that an AWS profile has in one of AWS's own files.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::shared_config::{FileKind, Profile, ProfileError};

/// Keys of the session token, in the order of botocore. The first that is there counts, even if it is empty.
const TOKEN_KEYS: [&str; 2] = ["aws_security_token", "aws_session_token"];
/// Keys in which tools write the end of temporary keys: saml2aws, AWS's own examples, aws-azure-login, aws-mfa.
const EXPIRY_KEYS: [&str; 6] = [
    "x_security_token_expires",
    "aws_session_expiration",
    "aws_session_token_expiration",
    "aws_credential_expiration",
    "aws_expiration",
    "expiration",
];
/// The start of the ids of temporary keys (IAM user guide, "Unique identifiers").
const TEMPORARY_PREFIX: &str = "ASIA";

/// Reads the access key that a profile has in a file; `None` if the file has none. Errors if a part of the key is missing.
pub(super) fn read(profile: &Profile, kind: FileKind) -> Result<Option<Credentials>, ProfileError> {
    let Some(id) = profile.text_in(kind, "aws_access_key_id")? else { return Ok(None) };
    let place = profile.place_in(kind, "aws_access_key_id").map(|place| place.to_string()).unwrap_or_default();
    let problem = |message: String| ProfileError::new(profile.name(), message);
    let Some(secret) = profile.text_in(kind, "aws_secret_access_key")?.filter(|secret| !secret.is_empty()) else {
        let error = problem(format!("aws_access_key_id in {place} has no aws_secret_access_key in the same section"));
        return Err(error.with_hint("Add aws_secret_access_key below it: one key pair is in one file."));
    };
    if id.is_empty() {
        return Err(problem(format!("aws_access_key_id in {place} is empty")));
    }
    let token_key = TOKEN_KEYS.into_iter().find(|key| profile.has_in(kind, key));
    let token = match token_key {
        Some(key) => profile.text_in(kind, key)?.filter(|token| !token.is_empty()),
        None => None,
    };
    if id.starts_with(TEMPORARY_PREFIX) && token.is_none() {
        let message =
            format!("aws_access_key_id in {place} is a temporary key ({TEMPORARY_PREFIX}…) without a session token");
        return Err(problem(message).with_hint(match token_key {
            Some(key) => format!("Set {key}: it is empty."),
            None => "Add aws_session_token below it, or get new temporary keys.".to_owned(),
        }));
    }
    let expiry = token.and_then(|_| EXPIRY_KEYS.iter().find_map(|key| expiry(profile.text_in(kind, key).ok()??)));
    Ok(Some(Credentials::new(id, secret, token.map(str::to_owned), expiry, "AWS profile")))
}

/// Parses an end: RFC 3339, or a time in UTC without an offset. `None` for other texts: the end is unknown then.
fn expiry(text: &str) -> Option<SystemTime> {
    let with_offset = text.parse::<Timestamp>().ok();
    let in_utc = || Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    with_offset.or_else(in_utc).map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_reads_what_tools_write() {
        for (text, expected) in [
            ("2026-11-28T23:00:00+01:00", Some("2026-11-28T22:00:00Z")),
            ("2026-11-28T22:00:00Z", Some("2026-11-28T22:00:00Z")),
            ("2026-11-28T22:00:00.000Z", Some("2026-11-28T22:00:00Z")),
            ("2026-11-28 22:00:00+00:00", Some("2026-11-28T22:00:00Z")),
            ("2026-11-28 22:00:00", Some("2026-11-28T22:00:00Z")),
            ("tomorrow", None),
            ("", None),
        ] {
            let read = expiry(text).map(|end| Timestamp::try_from(end).unwrap().to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
