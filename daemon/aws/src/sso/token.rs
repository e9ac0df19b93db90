//! The token of a login, in the file of the AWS CLI, so that both tools share one login.
//!
//! Dates in the file are in the time of this machine's clock, as in the AWS CLI.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::Secret;
use rolecall_trusted_file::TrustError;
use rustix::fs::Access;
use rustix::io::Errno;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::SsoError;
use super::session::SsoSession;
use crate::secret_file;

/// The fields that Rolecall reads and writes. It keeps all others as they are.
const FIELDS: [&str; 8] = [
    "startUrl",
    "region",
    "accessToken",
    "expiresAt",
    "clientId",
    "clientSecret",
    "registrationExpiresAt",
    "refreshToken",
];

/// The content of a token file.
pub(super) struct SsoToken {
    /// The access token, which the portal accepts.
    pub(super) access: Secret<String>,
    /// When the access token expires.
    pub(super) expires: Timestamp,
    /// The client that the token was given to.
    pub(super) client: Option<RegisteredClient>,
    /// The refresh token.
    pub(super) refresh: Option<Secret<String>>,
    start_url: Option<String>,
    region: Option<String>,
    other_fields: Map<String, Value>,
}

/// A client that AWS has registered. Registration is open to everyone, so the secret proves little.
pub(super) struct RegisteredClient {
    pub(super) id: String,
    pub(super) secret: Secret<String>,
    pub(super) expires: Timestamp,
}

/// The response of a CreateToken call.
pub(super) struct GrantedToken {
    pub(super) access: Secret<String>,
    pub(super) expires_in: Duration,
    pub(super) refresh: Option<Secret<String>>,
}

/// The SHA-256 of a secret.
pub(super) type Fingerprint = [u8; 32];
/// The fingerprints of an access token and its refresh token.
pub(super) type Fingerprints = (Fingerprint, Option<Fingerprint>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenFile {
    access_token: Secret<String>,
    expires_at: FileDate,
    start_url: Option<String>,
    region: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret<String>>,
    registration_expires_at: Option<FileDate>,
    refresh_token: Option<Secret<String>>,
}

/// A date such as `2026-01-02T03:04:05Z`. Old versions of the AWS CLI wrote `UTC` instead of `Z`.
struct FileDate(Timestamp);

/// The fields that are not in [`FIELDS`].
struct OtherFields(Map<String, Value>);

/// The token file of a session in `~/.aws`.
pub(super) fn path(aws_folder: &Path, session: &SsoSession) -> PathBuf {
    let name = session.name.as_deref().unwrap_or(&session.start_url);
    aws_folder.join("sso/cache").join(format!("{}.json", hex::encode(Sha1::digest(name))))
}

/// Returns the SHA-256 of a secret.
pub(super) fn fingerprint(secret: &Secret<String>) -> Fingerprint {
    Sha256::digest(secret.expose()).into()
}

impl SsoToken {
    /// The token of a new login, granted at `now` of this machine's clock.
    pub(super) fn new(session: &SsoSession, client: RegisteredClient, granted: GrantedToken, now: Timestamp) -> Self {
        Self {
            access: granted.access,
            expires: now.saturating_add(granted.expires_in).unwrap_or(Timestamp::MAX),
            client: Some(client),
            refresh: granted.refresh,
            start_url: Some(session.start_url.clone()),
            region: Some(session.region.to_string()),
            other_fields: Map::new(),
        }
    }

    /// The refreshed token. It keeps the old refresh token if AWS returns no new one.
    pub(super) fn refreshed(self, session: &SsoSession, granted: GrantedToken, now: Timestamp) -> Self {
        Self {
            access: granted.access,
            expires: now.saturating_add(granted.expires_in).unwrap_or(Timestamp::MAX),
            refresh: granted.refresh.or(self.refresh),
            start_url: self.start_url.or_else(|| Some(session.start_url.clone())),
            region: self.region.or_else(|| Some(session.region.to_string())),
            ..self
        }
    }

    /// Adds the fields that other tools keep in the same file.
    pub(super) fn with_other_fields_of(self, other: Option<Self>) -> Self {
        Self { other_fields: other.map_or(self.other_fields, |other| other.other_fields), ..self }
    }

    /// Reads a token file; `None` if it does not exist, holds no token, or belongs to another session. Errors with `Untrusted` if
    /// another user can change the file: the token decides whose credentials are used.
    pub(super) fn read(path: &Path, session: &SsoSession) -> Result<Option<Self>, SsoError> {
        let failed = |cause: &dyn fmt::Display| SsoError::File(format!("cannot read {}: {cause}", path.display()));
        let file = match rolecall_trusted_file::open(path) {
            Ok(file) => file,
            Err(TrustError::NotRegular { .. } | TrustError::Io { errno: Errno::NOENT | Errno::NOTDIR, .. }) => {
                return Ok(None);
            }
            Err(TrustError::Io { errno, .. }) => return Err(failed(&io::Error::from(errno))),
            Err(error) => return Err(error.into()),
        };
        let text = secret_file::read(file).map_err(|error| failed(&error))?;
        let Some(token) = Self::parse(text.expose()) else { return Ok(None) };
        let same = |ours: &str, theirs: &Option<String>| {
            theirs.as_ref().is_none_or(|theirs| trim_start_url(theirs) == trim_start_url(ours))
        };
        let is_ours = same(&session.start_url, &token.start_url) && same(session.region.as_str(), &token.region);
        Ok(Some(token).filter(|_| is_ours))
    }

    /// Parses a token file; `None` if it holds no token. The next login replaces such a file.
    fn parse(text: &[u8]) -> Option<Self> {
        let file: TokenFile = serde_json::from_slice(text).ok()?;
        let OtherFields(other_fields) = serde_json::from_slice(text).ok()?;
        let client = match (file.client_id, file.client_secret, file.registration_expires_at) {
            (Some(id), Some(secret), Some(FileDate(expires))) => Some(RegisteredClient { id, secret, expires }),
            _ => None,
        };
        Some(Self {
            access: file.access_token,
            expires: file.expires_at.0,
            client,
            refresh: file.refresh_token,
            start_url: file.start_url,
            region: file.region,
            other_fields,
        })
    }

    /// How long the access token is still valid; zero if it has expired.
    pub(super) fn time_left(&self, now: Timestamp) -> Duration {
        time_until(self.expires, now)
    }

    /// The client and the refresh token, if the client's registration is still valid.
    pub(super) fn refresh_grant(&self, now: Timestamp) -> Option<(&RegisteredClient, &Secret<String>)> {
        let client = self.client.as_ref().filter(|client| !time_until(client.expires, now).is_zero())?;
        Some((client, self.refresh.as_ref()?))
    }

    /// Identifies the token without its secrets.
    pub(super) fn fingerprints(&self) -> Fingerprints {
        (fingerprint(&self.access), self.refresh.as_ref().map(fingerprint))
    }
}

fn time_until(end: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

/// A start URL without the ends in which tools differ: `…/start`, `…/start/`, `…/start#/`.
fn trim_start_url(url: &str) -> &str {
    url.trim_end_matches(['/', '#'])
}

/// Creates the folder of a token file and checks that it is writable, and for the user alone. It writes no file: a watcher of the folder would
/// take that for a login, and retry what had failed.
pub(super) fn ensure_writable(path: &Path) -> Result<(), SsoError> {
    let make = |folder: &Path| {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
    };
    make(folder(path)).map_err(|cause| unwritable(path, &cause))?;
    rolecall_trusted_file::check(folder(path))?;
    Ok(())
}

/// Writes a token file atomically, readable for the user alone.
pub(super) fn save(path: &Path, token: &SsoToken) -> Result<(), SsoError> {
    let text = Secret::new(serde_json::to_vec(token).unwrap_or_default());
    secret_file::replace(path, &text).map_err(|cause| unwritable(path, &cause))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn unwritable(path: &Path, cause: &io::Error) -> SsoError {
    SsoError::File(format!("cannot write {}: {cause}", path.display()))
}

impl FromStr for FileDate {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.strip_suffix("UTC").map_or_else(|| text.parse(), |civil| format!("{civil}Z").parse()).map(Self)
    }
}

impl<'de> Deserialize<'de> for FileDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for OtherFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OtherFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            // Skips the known fields without a copy: most of them are secrets.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OtherFields, A::Error> {
                let mut other_fields = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if FIELDS.contains(&key.as_str()) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        other_fields.insert(key, map.next_value()?);
                    }
                }
                Ok(OtherFields(other_fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for SsoToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let date = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut map = serializer.serialize_map(None)?;
        if let Some(start_url) = &self.start_url {
            map.serialize_entry("startUrl", start_url)?;
        }
        if let Some(region) = &self.region {
            map.serialize_entry("region", region)?;
        }
        map.serialize_entry("accessToken", self.access.expose())?;
        map.serialize_entry("expiresAt", &date(self.expires))?;
        if let Some(client) = &self.client {
            map.serialize_entry("clientId", &client.id)?;
            map.serialize_entry("clientSecret", client.secret.expose())?;
            map.serialize_entry("registrationExpiresAt", &date(client.expires))?;
        }
        if let Some(refresh) = &self.refresh {
            map.serialize_entry("refreshToken", refresh.expose())?;
        }
        for (key, value) in &self.other_fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
