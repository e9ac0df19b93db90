//! The entry key, which shows that the user's own `rolecall` wrote a kubeconfig entry.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error as _};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// The environment variable of a kubeconfig entry that holds the entry key.
pub const ENTRY_KEY_VARIABLE: &str = "ROLECALL_ENTRY_KEY";

/// The request header that carries the entry key, in lower case.
pub const ENTRY_KEY_HEADER: &str = "rolecall-entry-key";

/// The request header of a client whose standard output is a terminal, in lower case. Its value is `1`.
pub const TERMINAL_HEADER: &str = "rolecall-terminal";

/// The length of an entry key, in bytes.
const KEY_BYTES: usize = 32;

/// A random value that `rolecall` writes into a kubeconfig entry and stores with the profile. A kubeconfig from another
/// author does not have it. The text form has 64 hexadecimal digits. Clones share one allocation; comparing takes the
/// same time for equal and different keys.
#[derive(Debug, Clone)]
pub struct EntryKey(Arc<Secret<[u8; KEY_BYTES]>>);

/// The text is not an entry key. The message does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct InvalidEntryKey;

/// What a request for a token presents beside `KUBERNETES_EXEC_INFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EntryProof {
    /// Nothing.
    #[default]
    Absent,
    /// The entry key of the kubeconfig entry that ran the client.
    Key(EntryKey),
    /// The client prints the token on a terminal. Every Kubernetes client reads its plugin's output through a pipe.
    Terminal,
}

impl EntryKey {
    /// Creates a key from random bytes.
    pub fn new(bytes: Secret<[u8; KEY_BYTES]>) -> Self {
        Self(Arc::new(bytes))
    }

    /// Returns the text form.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(hex::encode(self.0.expose()))
    }
}

impl FromStr for EntryKey {
    type Err = InvalidEntryKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = Secret::new([0; KEY_BYTES]);
        hex::decode_to_slice(text, bytes.expose_mut()).map_err(|_| InvalidEntryKey)?;
        Ok(Self::new(bytes))
    }
}

impl PartialEq for EntryKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose().ct_eq(other.0.expose()).into()
    }
}

impl Eq for EntryKey {}

impl<'de> Deserialize<'de> for EntryKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::<String>::deserialize(deserializer)?.expose().parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn entry_key_text_form_parses_back() {
        let key: EntryKey = TEXT.parse().unwrap();
        assert_eq!(key.to_text().expose(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse::<EntryKey>().unwrap(), key);
        let other: EntryKey = TEXT.replace("ff", "fe").parse().unwrap();
        assert_ne!(other, key);
        for malformed in ["", "00", &TEXT[..62], &format!("{TEXT}00"), &TEXT.replace('a', "g"), &format!(" {TEXT}")] {
            assert!(malformed.parse::<EntryKey>().is_err(), "{malformed}");
        }
    }

    /// Fault matrix row 56.
    #[test]
    fn entry_key_debug_prints_a_placeholder() {
        let proof = EntryProof::Key(TEXT.parse().unwrap());
        assert_eq!(format!("{proof:?}"), "Key(EntryKey(Secret(…)))");
        let error = serde_json::from_str::<EntryKey>("\"hunter2\"").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
