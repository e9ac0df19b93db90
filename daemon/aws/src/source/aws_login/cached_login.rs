//! The file in which the AWS CLI stores a login.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use rolecall_protocol::Secret;
use rolecall_trusted_file::TrustError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::RefreshedLogin;
use crate::secret_file;

/// A login: its credentials, its refresh token and the key that the token is bound to. Fields that Rolecall does not know
/// stay as they are. `serde_json` does not wipe its values; the allocator does.
pub(super) struct CachedLogin {
    file: Value,
    known: Known,
}

/// The fields that a refresh needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    access_token: Access,
    refresh_token: String,
    client_id: String,
    dpop_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    #[serde(rename = "accessKeyId")]
    key_id: String,
    secret_access_key: String,
    session_token: String,
    expires_at: Timestamp,
}

impl CachedLogin {
    /// Reads a file; `None` if it cannot be read or holds no login. Errors if the file may not be trusted.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TrustError> {
        let text = secret_file::read(rolecall_trusted_file::open(path)?).ok();
        Ok(text.and_then(|text| Self::parse(text.expose())))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let file: Value = serde_json::from_slice(text).ok()?;
        let known = Known::deserialize(&file).ok()?;
        Some(Self { file, known })
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.known.access_token.expires_at.into()
    }

    pub(super) fn client_id(&self) -> &str {
        &self.known.client_id
    }

    pub(super) const fn refresh_token(&self) -> &String {
        &self.known.refresh_token
    }

    /// Returns the key in PEM.
    pub(super) fn proof_key(&self) -> &str {
        &self.known.dpop_key
    }

    pub(super) fn credentials(&self) -> Credentials {
        let Access { key_id, secret_access_key, session_token, .. } = &self.known.access_token;
        let token = Some(session_token.clone());
        Credentials::new(key_id, secret_access_key, token, Some(self.expires()), "aws login")
    }

    /// Returns the login with new credentials and their refresh token.
    pub(super) fn refreshed(mut self, new: &RefreshedLogin, expires: SystemTime) -> Self {
        let expires_at = Timestamp::try_from(expires).unwrap_or(Timestamp::MAX);
        let access = &new.access_token;
        self.known.access_token = Access {
            key_id: access.access_key_id.clone(),
            secret_access_key: access.secret_access_key.expose().clone(),
            session_token: access.session_token.expose().clone(),
            expires_at,
        };
        self.known.refresh_token.clone_from(new.refresh_token.expose());
        let Access { key_id, secret_access_key, session_token, .. } = &self.known.access_token;
        let token = &mut self.file["accessToken"];
        token["accessKeyId"] = json!(key_id);
        token["secretAccessKey"] = json!(secret_access_key);
        token["sessionToken"] = json!(session_token);
        token["expiresAt"] = json!(expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        self.file["refreshToken"] = json!(self.known.refresh_token);
        self
    }

    /// Replaces the file if it still holds the refresh token `before`: another tool may have refreshed the login, or the user
    /// may have logged in or out.
    pub(super) fn save(&self, path: &Path, before: &str) -> io::Result<()> {
        let found = Self::read(path).ok().flatten();
        if found.is_none_or(|found| found.known.refresh_token != before) {
            return Ok(());
        }
        secret_file::replace(path, &Secret::new(serde_json::to_vec(&self.file)?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As the AWS CLI writes it, with a field that Rolecall does not know.
    const FILE: &str = r#"{"accessToken":{"accessKeyId":"ASIAOLD","secretAccessKey":"old","sessionToken":"old token",
        "accountId":"111122223333","expiresAt":"2026-01-02T03:04:05Z"},"tokenType":"aws_sigv4","refreshToken":"r1",
        "idToken":"id","clientId":"arn:aws:signin:::devtools/same-device","dpopKey":"PEM"}"#;

    fn refreshed() -> RefreshedLogin {
        let token = json!({ "accessKeyId": "ASIANEW", "secretAccessKey": "new", "sessionToken": "new token" });
        let response =
            json!({ "accessToken": token, "expiresIn": 900, "refreshToken": "r2", "tokenType": "aws_sigv4" });
        serde_json::from_value(response).unwrap()
    }

    #[test]
    fn refreshed_login_keeps_other_fields() {
        let login = CachedLogin::parse(FILE.as_bytes()).unwrap();
        let expires = login.expires() + Duration::from_mins(15);
        let login = login.refreshed(&refreshed(), expires);
        let credentials = login.credentials();
        assert_eq!((credentials.access_key_id(), credentials.expiry()), ("ASIANEW", Some(expires)));
        let mut expected: Value = serde_json::from_str(FILE).unwrap();
        let token = &mut expected["accessToken"];
        (token["accessKeyId"], token["secretAccessKey"]) = (json!("ASIANEW"), json!("new"));
        (token["sessionToken"], token["expiresAt"]) = (json!("new token"), json!("2026-01-02T03:19:05Z"));
        expected["refreshToken"] = json!("r2");
        assert_eq!(login.file, expected);
    }

    #[test]
    fn save_replaces_only_the_login_that_was_refreshed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.json");
        let login = || CachedLogin::parse(FILE.as_bytes()).unwrap().refreshed(&refreshed(), SystemTime::UNIX_EPOCH);
        login().save(&path, "r1").unwrap();
        assert!(!path.exists(), "the user logged out");
        let other = FILE.replace("\"r1\"", "\"r9\"");
        std::fs::write(&path, &other).unwrap();
        login().save(&path, "r1").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), other, "another tool refreshed the login");
        std::fs::write(&path, FILE).unwrap();
        login().save(&path, "r1").unwrap();
        assert_eq!(CachedLogin::read(&path).unwrap().unwrap().refresh_token(), "r2");
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn parse_other_text_is_none() {
        let without_key = FILE.replace("dpopKey", "other");
        for text in ["", "{}", "[1]", "{\"accessToken\":{}}", &without_key] {
            assert!(CachedLogin::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
