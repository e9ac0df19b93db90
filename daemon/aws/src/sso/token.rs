//! The token of a login, in the file where the AWS CLI keeps it, so that both tools share one login.
//!
//! Dates in it are by this machine's clock, as the AWS CLI takes them.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{LoginKind, LoginStatus, Secret};
use rustix::fs::Access;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{SsoError, SsoSession};

/// The most that is read of it, in bytes. The AWS CLI writes about three thousand.
const MAX_FILE: u64 = 64 * 1024;
/// What is known here; anything else in the file is kept as it is.
const KEYS: [&str; 8] = [
    "startUrl",
    "region",
    "accessToken",
    "expiresAt",
    "clientId",
    "clientSecret",
    "registrationExpiresAt",
    "refreshToken",
];

/// A token, and what renews it.
pub(super) struct Token {
    /// What the portal wants to see.
    pub(super) access: Secret<String>,
    /// When that ends.
    pub(super) expires: Timestamp,
    /// Whom the token was given to.
    pub(super) client: Option<Client>,
    /// What another one is had for.
    pub(super) refresh: Option<Secret<String>>,
    start_url: Option<String>,
    region: Option<String>,
    rest: Map<String, Value>,
}

/// A client as AWS has registered it. Anybody may have one; its secret proves little.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Secret<String>,
    pub(super) expires: Timestamp,
}

/// What AWS gave for a grant.
pub(super) struct Granted {
    pub(super) access: Secret<String>,
    pub(super) life: Duration,
    pub(super) refresh: Option<Secret<String>>,
}

/// Names a secret without telling it.
pub(super) type Fingerprint = [u8; 32];
/// Names a token: what it opens, and what renews it.
pub(super) type Fingerprints = (Fingerprint, Option<Fingerprint>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    access_token: Secret<String>,
    expires_at: Date,
    start_url: Option<String>,
    region: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret<String>>,
    registration_expires_at: Option<Date>,
    refresh_token: Option<Secret<String>>,
}

/// `2026-01-02T03:04:05Z`; old versions of the AWS CLI wrote `UTC` for the `Z`.
struct Date(Timestamp);

/// All that is not in [`KEYS`].
struct Unknown(Map<String, Value>);

/// The file of a session's token.
pub(super) fn path(logins: &Path, session: &SsoSession) -> PathBuf {
    let name = session.name.as_deref().unwrap_or(&session.start_url);
    logins.join("sso/cache").join(format!("{}.json", hex::encode(Sha1::digest(name))))
}

/// Names a secret without telling it.
pub(super) fn fingerprint(secret: &Secret<String>) -> Fingerprint {
    Sha256::digest(secret.expose()).into()
}

impl Token {
    /// A token for a session, fresh from AWS at `now` of this machine's clock.
    pub(super) fn new(session: &SsoSession, client: Client, granted: Granted, now: Timestamp) -> Self {
        Self {
            access: granted.access,
            expires: now.saturating_add(granted.life).unwrap_or(Timestamp::MAX),
            client: Some(client),
            refresh: granted.refresh,
            start_url: Some(session.start_url.clone()),
            region: Some(session.region.to_string()),
            rest: Map::new(),
        }
    }

    /// The one that follows, for the same client. Where AWS gives no new refresh token, the old one goes on.
    pub(super) fn renewed(self, session: &SsoSession, granted: Granted, now: Timestamp) -> Self {
        Self {
            access: granted.access,
            expires: now.saturating_add(granted.life).unwrap_or(Timestamp::MAX),
            refresh: granted.refresh.or(self.refresh),
            start_url: self.start_url.or_else(|| Some(session.start_url.clone())),
            region: self.region.or_else(|| Some(session.region.to_string())),
            ..self
        }
    }

    /// Takes over what others keep in the same file.
    pub(super) fn keeping(self, other: Option<Self>) -> Self {
        Self { rest: other.map_or(self.rest, |other| other.rest), ..self }
    }

    /// Reads the file; `None` where there is none, or one that says nothing of this session.
    pub(super) fn read(path: &Path, session: &SsoSession) -> Result<Option<Self>, SsoError> {
        let failed = |cause: &dyn fmt::Display| SsoError::File(format!("{} cannot be read: {cause}", path.display()));
        // A FIFO would be read for ever.
        if !path.is_file() {
            return Ok(None);
        }
        let mut text = Secret::new(Vec::new());
        match File::open(path).and_then(|file| read_into(file, &mut text)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        }
        let Some(token) = Self::parse(text.expose()) else { return Ok(None) };
        let same = |ours: &str, said: &Option<String>| said.as_ref().is_none_or(|said| address(said) == address(ours));
        let is_ours = same(&session.start_url, &token.start_url) && same(session.region.as_str(), &token.region);
        Ok(Some(token).filter(|_| is_ours))
    }

    /// A file that makes no sense is one that a login replaces.
    fn parse(text: &[u8]) -> Option<Self> {
        let known: Known = serde_json::from_slice(text).ok()?;
        let Unknown(rest) = serde_json::from_slice(text).ok()?;
        let client = match (known.client_id, known.client_secret, known.registration_expires_at) {
            (Some(id), Some(secret), Some(Date(expires))) => Some(Client { id, secret, expires }),
            _ => None,
        };
        Some(Self {
            access: known.access_token,
            expires: known.expires_at.0,
            client,
            refresh: known.refresh_token,
            start_url: known.start_url,
            region: known.region,
            rest,
        })
    }

    /// How long it is good still.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        left(self.expires, now)
    }

    /// What renews it, if that is there and good still.
    pub(super) fn renewal(&self, now: Timestamp) -> Option<(&Client, &Secret<String>)> {
        let client = self.client.as_ref().filter(|client| !left(client.expires, now).is_zero())?;
        Some((client, self.refresh.as_ref()?))
    }

    /// Which token it is.
    pub(super) fn fingerprints(&self) -> Fingerprints {
        (fingerprint(&self.access), self.refresh.as_ref().map(fingerprint))
    }

    /// What may be told of it.
    pub(super) fn status(&self, renews: bool) -> LoginStatus {
        LoginStatus { kind: LoginKind::Sso, ends: Some(self.expires), renews }
    }
}

fn left(end: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

/// A start URL, however it ends: `…/start`, `…/start/`, `…/start#/`.
fn address(url: &str) -> &str {
    url.trim_end_matches(['/', '#'])
}

#[allow(clippy::verbose_file_reads)] // with a bound
fn read_into(file: File, text: &mut Secret<Vec<u8>>) -> io::Result<()> {
    let mut read = Vec::with_capacity(8 * 1024);
    let outcome = file.take(MAX_FILE + 1).read_to_end(&mut read);
    let size = read.len() as u64;
    *text = Secret::new(read);
    outcome?;
    if size > MAX_FILE { Err(io::Error::other("it is larger than any login")) } else { Ok(()) }
}

/// Sees to it that the file can be written, before a token is had that could not be kept. It leaves no trace: whoever follows
/// the folder tries again what was refused.
pub(super) fn prepare(path: &Path) -> Result<(), SsoError> {
    let make = |folder: &Path| {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
    };
    make(folder(path)).map_err(|cause| unwritable(path, &cause))
}

/// Puts a token in place, in one go.
pub(super) fn save(path: &Path, token: &Token) -> Result<(), SsoError> {
    let text = Secret::new(serde_json::to_vec(token).unwrap_or_default());
    let write = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .suffix(".tmp")
            .tempfile_in(folder(path))?;
        file.write_all(text.expose())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|failed| failed.error)
    };
    write().map_err(|cause| unwritable(path, &cause))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn unwritable(path: &Path, cause: &io::Error) -> SsoError {
    SsoError::File(format!("{} cannot be written: {cause}", path.display()))
}

impl FromStr for Date {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.strip_suffix("UTC").map_or_else(|| text.parse(), |civil| format!("{civil}Z").parse()).map(Self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Unknown;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            // The known values are secrets: no copies of them.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unknown, A::Error> {
                let mut rest = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if KEYS.contains(&key.as_str()) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        rest.insert(key, map.next_value()?);
                    }
                }
                Ok(Unknown(rest))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Token {
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
        for (key, value) in &self.rest {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
