//! The TOML schema of the configuration: every key and the syntax of its value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{
    ClusterName, EndpointUrl, EntryKey, ExternalId, HttpUrl, KeyName, MfaSerial, PolicyArn, ProfileName, Region,
    RoleArn, SourceIdentity, SourceName, TagKey, TagValue, UrlError, similar_names,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_path_to_error::Segment;

mod constraints;
mod keys;

use super::duration;
use super::environment::RawEnvironment;
use super::inputs::{Policy, RawInputs};
use super::network::{Endpoints, Network, RawNetwork};
use super::notifications::{Notifications, RawNotifications};
use crate::constraints::Confirm;
pub(super) use constraints::{RawConstraints, RawHours};

use super::{
    ConfigError, DEFAULT_MFA_SESSION, LockTimes, MFA_SESSION_RANGE, Mfa, PinMode, SESSION_RANGE, SourceConfig,
    SourceKind,
};

/// The limit of `keep_warm`.
const MAX_KEEP_WARM: Duration = Duration::from_hours(7 * 24);

/// The limit of characters that separate keys, values and tables.
const MAX_MARKS: usize = 1_000_000;
/// The limit of inline tables.
const MAX_INLINE_TABLES: usize = 40_000;
/// The limit of brackets and braces that are open at once. The parser refuses tables in each other above 80, but overflows the
/// stack with hundreds of them that are not closed.
const MAX_OPEN_BRACKETS: usize = 128;
/// The longest unknown key that an error shows. Access keys and entry keys are longer or have other characters.
const MAX_SHOWN_KEY: usize = 32;
/// The most digits in an unknown key that an error shows. A secret has more.
const MAX_SHOWN_DIGITS: usize = 2;
/// The longest name of a profile or source that an error shows.
const MAX_SHOWN_NAME: usize = 64;
/// The limits of the times in `[lock]`.
const AUTO_LOCK_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(7 * 24);

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    defaults: RawDefaults,
    #[serde(default)]
    endpoints: Endpoints,
    #[serde(default)]
    network: RawNetwork,
    #[serde(default)]
    environment: RawEnvironment,
    #[serde(default)]
    sources: BTreeMap<SourceName, RawSource>,
    #[serde(default)]
    lock: RawLock,
    #[serde(default)]
    notifications: RawNotifications,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    confirm: RawConfirm,
    #[serde(default)]
    client: RawClient,
    #[serde(default)]
    profiles: RawProfiles,
}

/// The profiles.
pub(super) type RawProfiles = BTreeMap<ProfileName, RawProfile>;

/// The file without its profiles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShared {
    #[serde(default)]
    pub(super) defaults: RawDefaults,
    #[serde(default)]
    endpoints: Endpoints,
    #[serde(default)]
    network: RawNetwork,
    #[serde(default)]
    environment: RawEnvironment,
    #[serde(default)]
    pub(super) sources: BTreeMap<SourceName, RawSource>,
    #[serde(default)]
    lock: RawLock,
    #[serde(default)]
    notifications: RawNotifications,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    confirm: RawConfirm,
    #[serde(rename = "client", default)]
    _client: RawClient,
}

/// The section of one profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfileSection {
    pub(super) profiles: RawProfiles,
}

/// `[defaults]`: the defaults of keys that a profile can set too.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDefaults {
    #[serde(default, deserialize_with = "session_name")]
    pub(super) session_name: Option<String>,
    pub(super) duration: Option<SessionDuration>,
    pub(super) keep_warm: Option<KeepWarm>,
    pub(super) pin: Option<PinMode>,
    pub(super) max_lifetime: Option<LockTime>,
    pub(super) confirm: Option<Confirm>,
    pub(super) allowed_programs: Option<Vec<AbsolutePath>>,
    pub(super) allowed_hours: Option<RawHours>,
    pub(super) source_identity: Option<SourceIdentity>,
    pub(super) tags: Option<BTreeMap<TagKey, TagValue>>,
    pub(super) transitive_tags: Option<BTreeSet<TagKey>>,
    pub(super) policy_arns: Option<Vec<PolicyArn>>,
    pub(super) policy: Option<Policy>,
    pub(super) sts_endpoint: Option<EndpointUrl>,
    pub(super) fips: Option<bool>,
    pub(super) dual_stack: Option<bool>,
}

/// `[lock]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    idle: Option<LockTime>,
    max: Option<LockTime>,
}

/// `[audit]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAudit {
    #[serde(default)]
    syslog: bool,
}

/// `[confirm]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfirm {
    program: Option<AbsolutePath>,
}

/// `[client]`, which only `rolecall` uses.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    #[serde(rename = "trusted_configs", default)]
    _trusted_configs: Vec<AbsolutePath>,
}

/// An absolute path.
#[derive(Clone)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

/// A duration such as `30min`, from a minute to a week.
#[derive(Clone, Copy)]
pub(super) struct LockTime(pub(super) Duration);

/// `[sources.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    #[serde(default, deserialize_with = "aws_profile")]
    aws_profile: Option<String>,
    keyring: Option<KeyName>,
    mfa: Option<RawMfa>,
}

/// `mfa` of a source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { serial = \"arn:aws:iam::111122223333:mfa/dev\" }")]
pub(super) struct RawMfa {
    serial: MfaSerial,
    session: Option<MfaDuration>,
    process: Option<Command>,
}

/// A command line for `sh -c`.
struct Command(String);

/// A duration such as `12h`, in [`MFA_SESSION_RANGE`].
#[derive(Clone, Copy)]
struct MfaDuration(Duration);

/// `[profiles.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    pub(super) cluster: ClusterName,
    pub(super) region: Region,
    pub(super) source: SourceName,
    pub(super) role_arn: Option<RoleArn>,
    #[serde(default)]
    pub(super) via: Vec<RoleArn>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) duration: Option<SessionDuration>,
    pub(super) keep_warm: Option<KeepWarm>,
    #[serde(default, deserialize_with = "session_name")]
    pub(super) session_name: Option<String>,
    pub(super) pin: Option<PinMode>,
    pub(super) max_lifetime: Option<LockTime>,
    pub(super) confirm: Option<Confirm>,
    pub(super) allowed_programs: Option<Vec<AbsolutePath>>,
    pub(super) allowed_hours: Option<RawHours>,
    pub(super) entry_key: Option<EntryKey>,
    pub(super) server: Option<ServerUrl>,
    pub(super) ca_sha256: Option<Sha256Hex>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) proxy_url: Option<String>,
    pub(super) source_identity: Option<SourceIdentity>,
    pub(super) tags: Option<BTreeMap<TagKey, TagValue>>,
    pub(super) transitive_tags: Option<BTreeSet<TagKey>>,
    pub(super) policy_arns: Option<Vec<PolicyArn>>,
    pub(super) policy: Option<Policy>,
    pub(super) sts_endpoint: Option<EndpointUrl>,
    pub(super) fips: Option<bool>,
    pub(super) dual_stack: Option<bool>,
}

/// A duration such as `1h` or `45min`, in [`SESSION_RANGE`].
#[derive(Clone, Copy)]
pub(super) struct SessionDuration(Duration);

/// A duration such as `8h`, up to a week; `0s` turns renewal off.
#[derive(Clone, Copy)]
pub(super) struct KeepWarm(Duration);

/// An `https` URL.
pub(super) struct ServerUrl(String);

/// 64 hexadecimal digits.
pub(super) struct Sha256Hex(pub(super) String);

/// Parses the text. Errors with line and key.
pub(super) fn read(path: &Path, text: &str) -> Result<(RawShared, RawProfiles), ConfigError> {
    let fail = |error: &toml::de::Error, key: Option<String>, message: String| ConfigError {
        path: path.to_owned(),
        line: error.span().map(|span| line_at(text, span.start)),
        key,
        message,
    };
    check_size(text).map_err(|message| ConfigError { path: path.to_owned(), line: None, key: None, message })?;
    let document = toml::Deserializer::parse(text).map_err(|error| fail(&error, None, one_line(&error)))?;
    let raw: Raw = serde_path_to_error::deserialize(document).map_err(|error| {
        let message = unknown_key(error.path()).unwrap_or_else(|| one_line(error.inner()));
        let key = shown_path(error.path());
        fail(error.inner(), (!key.is_empty()).then_some(key), message)
    })?;
    let Raw {
        defaults,
        endpoints,
        network,
        environment,
        sources,
        lock,
        notifications,
        audit,
        confirm,
        client,
        profiles,
    } = raw;
    let shared = RawShared {
        defaults,
        endpoints,
        network,
        environment,
        sources,
        lock,
        notifications,
        audit,
        confirm,
        _client: client,
    };
    Ok((shared, profiles))
}

/// Errors if a text has more parts than any configuration of 10,000 profiles: the parser needs up to 60 bytes for each mark and
/// 1.5 KB for each inline table, so a text of 8 MB could take gigabytes.
pub(super) fn check_size(text: &str) -> Result<(), String> {
    let count = |marks: &[u8]| text.bytes().filter(|byte| marks.contains(byte)).count();
    if count(b"{") > MAX_INLINE_TABLES || count(b"[]{}=,.\n\"'#") > MAX_MARKS {
        return Err(format!("has more than {MAX_MARKS} marks or {MAX_INLINE_TABLES} inline tables"));
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Err(format!("has more than {MAX_OPEN_BRACKETS} open brackets"));
        }
    }
    Ok(())
}

/// Returns the message of the parser as one line.
fn one_line(error: &toml::de::Error) -> String {
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    without_value(&message).unwrap_or(message)
}

/// Returns a message of serde without the text that it quotes from the file; `None` for a message that quotes none.
fn without_value(message: &str) -> Option<String> {
    let kinds = ["invalid type: string", "invalid value: string", "unknown variant", "duplicate field"];
    let kind = kinds.into_iter().find(|kind| message.starts_with(kind))?;
    let expected = message.rfind(", expected ").and_then(|at| message.get(at..)).unwrap_or_default();
    Some(format!("{kind}{expected}"))
}

/// Returns the message for a path whose last key is unknown in its table; `None` for any other path.
fn unknown_key(path: &serde_path_to_error::Path) -> Option<String> {
    let names = map_keys(path)?;
    let (unknown, table) = names.split_last()?;
    let known = keys::of_table(table).filter(|known| !known.contains(unknown))?;
    if !may_be_shown(table, unknown) {
        return Some(format!("unknown key; known keys: {}", known.join(", ")));
    }
    Some(match similar_names(unknown, known.iter().copied()).first() {
        Some(near) => format!("unknown key \"{unknown}\"; did you mean \"{near}\"?"),
        None => format!("unknown key \"{unknown}\"; known keys: {}", known.join(", ")),
    })
}

/// Returns the keys of a path of tables; `None` if a part of the path is in a list.
fn map_keys(path: &serde_path_to_error::Path) -> Option<Vec<&str>> {
    path.iter()
        .map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect()
}

/// Returns a path as text, without the keys that may be a secret.
fn shown_path(path: &serde_path_to_error::Path) -> String {
    let (mut shown, mut table) = (String::new(), Vec::new());
    for segment in path {
        match segment {
            Segment::Map { key } => {
                let separator = if shown.is_empty() { "" } else { "." };
                shown.extend([separator, if may_be_shown(&table, key) { key } else { "…" }]);
                table.push(key.as_str());
            }
            Segment::Seq { index } => shown.extend(["[", &index.to_string(), "]"]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    shown
}

/// Whether a key of a table is known, is like a misspelt known key, or is like a name. Any other key may be a secret in a wrong
/// place, and may move a terminal's cursor.
fn may_be_shown(table: &[&str], key: &str) -> bool {
    match keys::of_table(table) {
        Some(known) => {
            let is_like_one = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
            let digits = key.chars().filter(char::is_ascii_digit).count();
            known.contains(&key) || (is_like_one && digits <= MAX_SHOWN_DIGITS && key.len() <= MAX_SHOWN_KEY)
        }
        None => key.len() <= MAX_SHOWN_NAME && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-:,@ ".contains(c)),
    }
}

/// Returns the line of a dotted key, or of the nearest table above it. Parses the text again, so it is for errors only.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = text.parse::<toml_edit::Document<String>>().ok()?;
    let mut item = document.as_item();
    let mut start = None;
    for part in key.split('.') {
        let Some((found, value)) = item.as_table_like().and_then(|table| table.get_key_value(part)) else { break };
        start = found.span().or_else(|| value.span()).map(|span| span.start).or(start);
        item = value;
    }
    start.map(|start| line_at(text, start))
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Returns the [`RawInputs`] of a struct that has their keys.
macro_rules! inputs {
    ($raw:expr) => {
        RawInputs {
            source_identity: $raw.source_identity.clone(),
            tags: $raw.tags.clone(),
            transitive_tags: $raw.transitive_tags.clone(),
            policy_arns: $raw.policy_arns.clone(),
            policy: $raw.policy.clone(),
            sts_endpoint: $raw.sts_endpoint.clone(),
            fips: $raw.fips,
            dual_stack: $raw.dual_stack,
        }
    };
}

/// Returns the [`RawConstraints`] of a struct that has their keys.
macro_rules! constraints {
    ($raw:expr) => {
        RawConstraints {
            max_lifetime: $raw.max_lifetime.map(|time| time.0),
            confirm: $raw.confirm,
            allowed_programs: $raw
                .allowed_programs
                .as_ref()
                .map(|paths| paths.iter().map(|path| path.0.clone()).collect()),
            allowed_hours: $raw.allowed_hours.as_ref().map(|hours| hours.0.clone()),
        }
    };
}

impl RawDefaults {
    pub(super) fn constraints(&self) -> RawConstraints {
        constraints!(self)
    }

    pub(super) fn inputs(&self) -> RawInputs {
        inputs!(self)
    }
}

impl RawProfile {
    pub(super) fn constraints(&self) -> RawConstraints {
        constraints!(self)
    }

    pub(super) fn inputs(&self) -> RawInputs {
        inputs!(self)
    }
}

impl RawShared {
    /// Returns endpoints, proxy, CA bundle, and the environment of programs. Errors with a key and a message.
    pub(super) fn network(&self) -> Result<Network, (String, String)> {
        Ok(Network {
            endpoints: self.endpoints.clone(),
            path: self.network.validate()?,
            environment: self.environment.validate()?,
            extra_regions: self.network.extra_regions(),
        })
    }

    /// Errors with a message if a region is neither a known one of AWS nor allowed.
    pub(super) fn check_region(&self, region: &Region) -> Result<(), String> {
        self.network.check_region(region)
    }

    /// Returns the times of the automatic lock.
    pub(super) fn lock_times(&self) -> LockTimes {
        LockTimes { idle: self.lock.idle.map(|time| time.0), max: self.lock.max.map(|time| time.0) }
    }

    /// Returns the desktop notifications.
    pub(super) fn notifications(&self) -> Notifications {
        self.notifications.with_defaults()
    }

    /// Returns whether the audit log goes to syslog too.
    pub(super) const fn audit_to_syslog(&self) -> bool {
        self.audit.syslog
    }

    /// Returns the program that asks the user.
    pub(super) fn confirm_program(&self) -> Option<PathBuf> {
        self.confirm.program.as_ref().map(|path| path.0.clone())
    }

    /// Returns the sources. Errors with a key and a message.
    pub(super) fn valid_sources(self) -> Result<BTreeMap<SourceName, SourceConfig>, (String, String)> {
        let valid = |(name, source): (SourceName, RawSource)| match source.validate() {
            Ok(source) => Ok((name, source)),
            Err(message) => Err((format!("sources.{name}"), message)),
        };
        self.sources.into_iter().map(valid).collect()
    }
}

impl RawSource {
    fn validate(self) -> Result<SourceConfig, String> {
        let kind = match (self.aws_profile, self.keyring) {
            (Some(profile), None) => SourceKind::AwsProfile(profile),
            (None, Some(keys)) => SourceKind::Keyring(keys),
            (None, None) => return Err("must have aws_profile or keyring".to_owned()),
            (Some(_), Some(_)) => return Err("must have either aws_profile or keyring, not both".to_owned()),
        };
        let mfa = self.mfa.map(|mfa| Mfa {
            serial: mfa.serial,
            session: mfa.session.map_or(DEFAULT_MFA_SESSION, |session| session.0),
            process: mfa.process.map(|process| process.0),
        });
        let mfa = mfa.map(Arc::new);
        Ok(SourceConfig { kind, mfa })
    }
}

impl SessionDuration {
    pub(super) const fn get(self) -> Duration {
        self.0
    }
}

impl ServerUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeepWarm {
    pub(super) const fn get(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for SessionDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if SESSION_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from 15min to 12h")),
        }
    }
}

impl<'de> Deserialize<'de> for MfaDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if MFA_SESSION_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from 15min to 36h")),
        }
    }
}

impl<'de> Deserialize<'de> for LockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if AUTO_LOCK_RANGE.contains(&length) => Ok(Self(length)),
            _ => Err(D::Error::custom("must be from a minute (1min) to a week (168h)")),
        }
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim() {
            "" => Err(D::Error::custom("must not be empty")),
            _ if text.len() > 4096 || text.contains('\0') => {
                Err(D::Error::custom("must be a command line of at most 4096 bytes without NUL"))
            }
            _ => Ok(Self(text)),
        }
    }
}

impl<'de> Deserialize<'de> for KeepWarm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match duration::deserialize(deserializer)? {
            length if length <= MAX_KEEP_WARM => Ok(Self(length)),
            _ => Err(D::Error::custom("must be at most a week (168h)")),
        }
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)? {
            path if Path::new(&path).is_absolute() => Ok(Self(path.into())),
            _ => Err(D::Error::custom("must be an absolute path")),
        }
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match HttpUrl::parse(&text) {
            Ok(url) if !url.is_https() => Err(D::Error::custom(UrlError::Scheme)),
            Ok(_) if text.len() > 2048 => Err(D::Error::custom(UrlError::TooLong)),
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

impl<'de> Deserialize<'de> for Sha256Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        match hex::decode(&text) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(text)),
            _ => Err(D::Error::custom("must be 64 hexadecimal digits")),
        }
    }
}

/// Reads the name of an AWS profile: a text that is valid between the brackets of AWS's INI files.
fn aws_profile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "" => Err(D::Error::custom("must not be empty")),
        long if long.len() > 256 => Err(D::Error::custom("must have at most 256 characters")),
        odd if odd.contains(|c: char| c.is_control() || c == '[' || c == ']') => {
            Err(D::Error::custom("must not contain brackets or control characters"))
        }
        _ => Ok(Some(text)),
    }
}

/// Reads a template that gives a valid session name for every user and host.
fn session_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match super::template::check(&text) {
        Ok(()) => Ok(Some(text)),
        Err(error) => Err(D::Error::custom(error)),
    }
}
