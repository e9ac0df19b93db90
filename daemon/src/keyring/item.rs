//! One item of the keyring: its secret is JSON text, since some keyrings take nothing but text.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use rolecall_protocol::{KeyName, KeyStatus, Region, Secret, sanitize_for_terminal};
use serde::{Deserialize, Serialize};

use super::error::KeyringError;
use rolecall_core::clock::Clock;

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;
/// More than this is not ours, in bytes.
const MAX: usize = 16 * 1024;

/// Keys as they are kept.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The keys. They have no end.
    pub credentials: Credentials,
    /// Whose they are, as GetCallerIdentity said it.
    pub arn: Option<String>,
    /// Where they are from.
    pub region: Region,
    /// When they were put there.
    pub stored: SystemTime,
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

/// Format 1, to be written. Not read into: what is read is wiped.
#[derive(Serialize)]
struct Written<'a> {
    format: u64,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    region: &'a Region,
    arn: Option<&'a str>,
    stored: Timestamp,
}

/// Format 1, as it is read.
#[derive(Deserialize)]
struct Read {
    access_key_id: String,
    secret_access_key: Secret<String>,
    region: Region,
    #[serde(default)]
    arn: Option<String>,
    stored: Timestamp,
}

impl StoredKey {
    /// What may be told of it, in this machine's time.
    #[must_use]
    pub fn status(&self, name: &KeyName, clock: &Clock) -> KeyStatus {
        KeyStatus {
            name: name.clone(),
            key_id_suffix: suffix(self.credentials.access_key_id()),
            arn: self.arn.clone(),
            region: self.region.clone(),
            stored: clock.stamp(self.stored),
        }
    }

    /// The item's secret.
    pub(super) fn write(&self) -> Result<Secret<Vec<u8>>, KeyringError> {
        let failed = |_| KeyringError::Failed("the keys could not be written down".to_owned());
        let written = Written {
            format: FORMAT,
            access_key_id: self.credentials.access_key_id(),
            secret_access_key: self.credentials.secret_access_key(),
            region: &self.region,
            arn: self.arn.as_deref(),
            stored: Timestamp::try_from(self.stored).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        // Large enough from the beginning, so that no part of it stays behind where it grew.
        let mut text = Vec::with_capacity(MAX);
        serde_json::to_writer(&mut text, &written).map_err(failed)?;
        Ok(Secret::new(text))
    }

    /// What an item's secret says, if it is one of ours.
    pub(super) fn read(text: &[u8]) -> Result<Self, KeyringError> {
        if text.len() > MAX {
            return Err(KeyringError::Corrupt("it is too large"));
        }
        let Head { format } =
            serde_json::from_slice(text).map_err(|_| KeyringError::Corrupt("it is not JSON of ours"))?;
        if format > FORMAT {
            return Err(KeyringError::Newer(format));
        }
        let read: Read = serde_json::from_slice(text).map_err(|_| KeyringError::Corrupt("a part of it is missing"))?;
        if !is_key_id(&read.access_key_id) || read.secret_access_key.expose().is_empty() {
            return Err(KeyringError::Corrupt("it holds no access key"));
        }
        let credentials =
            Credentials::new(read.access_key_id, read.secret_access_key.expose().as_str(), None, None, "Keyring");
        let arn = read.arn.as_deref().map(sanitize_for_terminal);
        Ok(Self { credentials, arn, region: read.region, stored: read.stored.into() })
    }
}

/// Whether it may be an access key id (IAM API, AccessKey: 16 to 128 word characters).
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The last four characters of an access key id.
#[must_use]
pub fn suffix(id: &str) -> String {
    sanitize_for_terminal(id.get(id.len().saturating_sub(4)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEXT: &str = r#"{"format":1,"access_key_id":"AKIDEXAMPLEEXAMPLE12","secret_access_key":"abc","region":"eu-west-1","arn":"arn:aws:iam::111122223333:user/dev","stored":"2026-01-02T03:04:05Z"}"#;

    fn problem(text: &str) -> KeyringError {
        StoredKey::read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_written_is_read() {
        let key = StoredKey::read(TEXT.as_bytes()).unwrap();
        assert_eq!(key.credentials.access_key_id(), "AKIDEXAMPLEEXAMPLE12");
        assert_eq!(key.stored, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045));
        assert_eq!(String::from_utf8_lossy(key.write().unwrap().expose()), TEXT);
    }

    #[test]
    fn row_88_what_is_not_ours_is_told_apart_from_what_is_broken() {
        for text in ["", "hunter2", "[1]", "{}", "{\"format\":\"one\"}", "\u{0}\u{1}"] {
            assert!(matches!(problem(text), KeyringError::Corrupt(_)), "{text}");
        }
        assert!(matches!(StoredKey::read(&[0xff, 0xfe]).unwrap_err(), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&TEXT.replace("AKIDEXAMPLEEXAMPLE12", "a b")), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&TEXT[..TEXT.len() / 2]), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&" ".repeat(MAX + 1)), KeyringError::Corrupt(_)));
    }

    #[test]
    fn row_89_a_newer_format_is_told() {
        assert_eq!(problem(r#"{"format":2,"keys":["…"]}"#), KeyringError::Newer(2));
        assert_eq!(problem(&TEXT.replace("\"format\":1", "\"format\":7")), KeyringError::Newer(7));
    }

    #[test]
    fn nothing_of_the_secret_is_shown() {
        let key = StoredKey::read(TEXT.replace("\"abc\"", "\"hunter2hunter2\"").as_bytes()).unwrap();
        assert!(!format!("{key:?}").contains("hunter2"));
    }
}
