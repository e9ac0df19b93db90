//! The session of a profile, for programs that call AWS themselves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::name::Region;
use crate::secret::serialize_exposed;

/// The environment variable that the daemon sets for the `credential_process` of a source. `rolecall credentials` refuses to
/// run under it, because the daemon would wait for a session that waits for this process.
pub const SOURCE_PROCESS_VARIABLE: &str = "ROLECALL_SOURCE_PROCESS";

/// The response of [`Endpoint::Credentials`](crate::Endpoint::Credentials): the session of a profile. Never a long-lived access
/// key.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProfileCredentials {
    /// The access key id.
    #[serde(serialize_with = "serialize_exposed")]
    pub access_key_id: Secret<String>,
    /// The secret access key.
    #[serde(serialize_with = "serialize_exposed")]
    pub secret_access_key: Secret<String>,
    /// The session token.
    #[serde(serialize_with = "serialize_exposed")]
    pub session_token: Secret<String>,
    /// When AWS stops accepting the session. Absent if the source does not name a time, as for temporary credentials in
    /// `~/.aws/credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The region of the profile's cluster.
    pub region: Region,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 56.
    #[test]
    fn profile_credentials_debug_prints_no_secret() {
        let text = r#"{"access_key_id":"ASIAEXAMPLE","secret_access_key":"hunter2","session_token":"tok",
            "expires":"2026-01-02T03:04:05Z","region":"eu-west-1"}"#;
        let credentials: ProfileCredentials = serde_json::from_str(text).unwrap();
        let printed = format!("{credentials:?}");
        assert!(["ASIA", "hunter2", "tok\""].iter().all(|secret| !printed.contains(secret)), "{printed}");
        let written: serde_json::Value = serde_json::to_value(&credentials).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
