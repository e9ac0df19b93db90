//! An item of the keyring. Its secret is JSON text, since some keyrings store text only.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use rolecall_protocol::{KeyName, KeyStatus, Region, Secret, sanitize_for_terminal};
use serde::{Deserialize, Serialize};

use super::error::KeyringError;
use rolecall_core::clock::Clock;

/// The format of new items, and the newest that can be read.
const FORMAT: u64 = 1;
/// The size of an item; a larger one is not Rolecall's.
const MAX_ITEM_BYTES: usize = 16 * 1024;

/// An access key in the keyring.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The access key, without an expiry.
    pub credentials: Credentials,
    /// The ARN of its IAM user, from GetCallerIdentity.
    pub arn: Option<String>,
    /// The region in which the user entered it.
    pub region: Region,
    /// When it was stored.
    pub stored: SystemTime,
}

/// The field that every format has.
#[derive(Deserialize)]
struct ItemFormat {
    format: u64,
}

/// Format 1. The secret is borrowed to write it, and owned and wiped to read it.
#[derive(Serialize, Deserialize)]
struct Item<S> {
    format: u64,
    access_key_id: String,
    secret_access_key: S,
    region: Region,
    #[serde(default)]
    arn: Option<String>,
    stored: Timestamp,
}

impl StoredKey {
    /// Returns what may be shown of the access key, with times of this machine.
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

    /// Returns the item's secret.
    pub(super) fn write(&self) -> Result<Secret<Vec<u8>>, KeyringError> {
        let failed = |_| KeyringError::Failed("the access key cannot be written".to_owned());
        let item = Item {
            format: FORMAT,
            access_key_id: self.credentials.access_key_id().to_owned(),
            secret_access_key: self.credentials.secret_access_key(),
            region: self.region.clone(),
            arn: self.arn.clone(),
            stored: Timestamp::try_from(self.stored).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        // The final size: a buffer that grows leaves copies of the secret behind.
        let mut text = Vec::with_capacity(MAX_ITEM_BYTES);
        serde_json::to_writer(&mut text, &item).map_err(failed)?;
        Ok(Secret::new(text))
    }

    /// Parses an item's secret. Errors if Rolecall did not write it.
    pub(super) fn read(text: &[u8]) -> Result<Self, KeyringError> {
        if text.len() > MAX_ITEM_BYTES {
            return Err(KeyringError::Corrupt("it is too large"));
        }
        let ItemFormat { format } =
            serde_json::from_slice(text).map_err(|_| KeyringError::Corrupt("not JSON in Rolecall's format"))?;
        if format > FORMAT {
            return Err(KeyringError::Newer(format));
        }
        let read: Item<Secret<String>> =
            serde_json::from_slice(text).map_err(|_| KeyringError::Corrupt("a field is missing"))?;
        if !is_key_id(&read.access_key_id) || read.secret_access_key.expose().is_empty() {
            return Err(KeyringError::Corrupt("it has no access key"));
        }
        let credentials =
            Credentials::new(read.access_key_id, read.secret_access_key.expose().as_str(), None, None, "Keyring");
        let arn = read.arn.as_deref().map(sanitize_for_terminal);
        Ok(Self { credentials, arn, region: read.region, stored: read.stored.into() })
    }
}

/// Whether a text has the format of an access key id (IAM API, AccessKey: 16 to 128 word characters).
#[must_use]
pub fn is_key_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the last four characters of an access key id.
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
    fn item_survives_a_round_trip() {
        let key = StoredKey::read(TEXT.as_bytes()).unwrap();
        assert_eq!(key.credentials.access_key_id(), "AKIDEXAMPLEEXAMPLE12");
        assert_eq!(key.stored, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045));
        assert_eq!(String::from_utf8_lossy(key.write().unwrap().expose()), TEXT);
    }

    /// Fault matrix row 88.
    #[test]
    fn foreign_or_damaged_item_is_corrupt() {
        for text in ["", "hunter2", "[1]", "{}", "{\"format\":\"one\"}", "\u{0}\u{1}"] {
            assert!(matches!(problem(text), KeyringError::Corrupt(_)), "{text}");
        }
        assert!(matches!(StoredKey::read(&[0xff, 0xfe]).unwrap_err(), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&TEXT.replace("AKIDEXAMPLEEXAMPLE12", "a b")), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&TEXT[..TEXT.len() / 2]), KeyringError::Corrupt(_)));
        assert!(matches!(problem(&" ".repeat(MAX_ITEM_BYTES + 1)), KeyringError::Corrupt(_)));
    }

    /// Fault matrix row 89.
    #[test]
    fn newer_format_is_reported() {
        assert_eq!(problem(r#"{"format":2,"keys":["…"]}"#), KeyringError::Newer(2));
        assert_eq!(problem(&TEXT.replace("\"format\":1", "\"format\":7")), KeyringError::Newer(7));
    }

    #[test]
    fn debug_output_has_no_secret() {
        let key = StoredKey::read(TEXT.replace("\"abc\"", "\"hunter2hunter2\"").as_bytes()).unwrap();
        assert!(!format!("{key:?}").contains("hunter2"));
    }
}
