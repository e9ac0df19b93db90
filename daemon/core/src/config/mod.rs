//! The configuration: one TOML file, which is read, validated and replaced as a whole.
//!
//! [`Config::parse`] returns validated types, or one [`ConfigError`] with file, line and key. The error never quotes the
//! contents of the file. [`mod@file`] reads the file and checks its owner, mode and size; `sections` parses it in little
//! memory.

mod duration;
pub mod environment;
pub mod file;
pub mod include;
mod included;
pub mod inputs;
pub mod network;
pub mod notifications;
mod schema;
mod sections;
mod template;
mod trusted_file;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::constraints::Constraints;
use included::{IncludeContext, UserPin};
pub use included::{Origin, Origins};
use inputs::InputsPerStep;
use network::Network;
use notifications::Notifications;
use rolecall_protocol::{
    ClusterName, EntryKey, ErrorBody, ErrorCode, ExternalId, KeyName, MfaSerial, ProfileName, Region, RoleArn,
    SourceName, similar_names,
};
use schema::{ApiServer, ProfileRules, RawPin, RawProfile, RawShared};
use serde::{Deserialize, Serialize};
pub use template::NameTemplate;

/// The session duration that STS accepts (AssumeRole, DurationSeconds).
pub const SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(12);
/// The duration of an MFA session that STS accepts (GetSessionToken, DurationSeconds).
pub const MFA_SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(36);
/// The default duration of an MFA session, which is also AWS's default.
pub const DEFAULT_MFA_SESSION: Duration = Duration::from_hours(12);
/// The default session duration, which is also AWS's default for a role.
const DEFAULT_DURATION: Duration = Duration::from_hours(1);
/// The default of `keep_warm`: a working day (B1).
const DEFAULT_KEEP_WARM: Duration = Duration::from_hours(8);
/// The default template of the session name, which CloudTrail shows.
pub const DEFAULT_SESSION_NAME: &str = "{user}@{host}";
/// The limit of profiles, those of included files among them. A validated one needs up to 2 KB.
pub const MAX_PROFILES: usize = 20_000;
/// The limit of roles in a profile.
const MAX_STEPS: usize = 5;

/// A valid configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The sources by name.
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// The profiles by name. Each names a source that exists.
    pub profiles: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    /// The included files that profiles and sources come from.
    pub origins: Origins,
    /// Endpoints, proxy and CA bundle.
    pub network: Arc<Network>,
    /// The times of the automatic lock.
    pub lock: LockTimes,
    /// The desktop notifications.
    pub notifications: Notifications,
    /// Whether the audit log goes to syslog too.
    pub audit_to_syslog: bool,
    /// The program that asks the user to confirm, if the configuration names one.
    pub confirm_program: Option<PathBuf>,
}

/// The times of the automatic lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockTimes {
    /// Lock after this time without use.
    pub idle: Option<Duration>,
    /// Lock this long after the unlock or the start, even if the agent is used.
    pub max: Option<Duration>,
}

/// A source of base credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The kind of the source.
    pub kind: SourceKind,
    /// The MFA device for GetSessionToken or AssumeRole.
    pub mfa: Option<Arc<Mfa>>,
}

/// The kind of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    /// A profile of AWS's configuration files, with the roles that it names.
    AwsProfile(String),
    /// The credentials of such a profile without its role, from which its role or another is assumed.
    AwsProfileLeaf(String),
    /// An access key in the OS keyring.
    Keyring(KeyName),
}

/// An MFA device and the session that its code gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mfa {
    /// The serial number of the device.
    pub serial: MfaSerial,
    /// The requested duration of an MFA session, in [`MFA_SESSION_RANGE`].
    pub session: Duration,
    /// A command that prints an MFA code.
    pub process: Option<String>,
}

/// The configuration of one profile with the defaults filled in. Equal parts of profiles share one allocation, because a
/// configuration can have 10,000 profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileConfig {
    /// The EKS cluster.
    pub cluster: ClusterName,
    /// The region of the cluster and of STS.
    pub region: Region,
    /// The source, a key of [`Config::sources`].
    pub source: SourceName,
    /// The roles to assume, in order. Without roles, the token has the identity of the source.
    pub roles: Vec<RoleArn>,
    /// The ExternalId of the last role.
    pub external_id: Option<ExternalId>,
    /// The requested session duration, in [`SESSION_RANGE`].
    pub duration: Duration,
    /// How long after its last use the session is renewed in the background.
    pub keep_warm: Duration,
    /// The template of the session name.
    pub session_name: Arc<str>,
    /// The cluster that the kubeconfig has to name.
    pub pin: Option<Arc<Pin>>,
    /// Which kubeconfigs get a token.
    pub pin_mode: PinMode,
    /// The key of the profile's kubeconfig entries.
    pub entry_key: Option<EntryKey>,
    /// Whether the client asks before it opens a shell or runs a program with the profile.
    pub protected: bool,
    /// Whether the profile gives tokens only, and no AWS credentials.
    pub tokens_only: bool,
    /// The further parameters of each step.
    pub inputs: Option<Arc<InputsPerStep>>,
    /// The constraints, if there are any.
    pub constraints: Option<Arc<Constraints>>,
}

/// The API server that a profile was added with. A kubeconfig with another server or CA gets no token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The API server's URL.
    pub server: String,
    /// SHA-256 (lower-case hex) of the CA bundle.
    pub ca_sha256: Option<String>,
    /// The host name that the server's certificate has to have instead of the one in the URL.
    pub tls_server_name: Option<String>,
    /// The proxy to the server.
    pub proxy_url: Option<String>,
}

/// Which kubeconfigs get a token for a profile, the strictest mode first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// One that names the pinned cluster and has the entry key.
    Require,
    /// One that names the pinned cluster, or names no cluster and has the entry key.
    #[default]
    Entry,
    /// Any.
    Off,
}

/// An error in a configuration and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {}{message}", path.display(), at(*line), in_key(key.as_deref()))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key, for example `profiles.prod.region`.
    pub key: Option<String>,
    /// What is wrong, as a continuation of the key.
    pub message: String,
}

impl PinMode {
    /// Returns the value in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Entry => "entry",
            Self::Off => "off",
        }
    }
}

impl SourceConfig {
    /// Returns a source without MFA.
    #[must_use]
    pub const fn plain(kind: SourceKind) -> Self {
        Self { kind, mfa: None }
    }

    /// Returns the AWS profile whose settings (`endpoint_url`, `services`) apply to calls with the source.
    #[must_use]
    pub fn aws_profile(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => Some(profile),
            SourceKind::Keyring(_) => None,
        }
    }

    /// Returns the source as text for the user.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => format!("AWS profile {profile}"),
            SourceKind::Keyring(name) => format!("access key {name} in the keyring"),
        }
    }
}

/// The values of the profiles so far, which further profiles share. It saves a third of the memory: 6.4 instead of 10.0 MB
/// for 10,000 profiles of 100 clusters.
#[derive(Default)]
struct Interner {
    clusters: HashSet<ClusterName>,
    regions: HashSet<Region>,
    sources: HashSet<SourceName>,
    session_names: HashSet<Arc<str>>,
    pins: HashSet<Arc<Pin>>,
    inputs: HashSet<Arc<InputsPerStep>>,
    constraints: HashSet<Arc<Constraints>>,
}

impl Config {
    /// Parses a configuration. `path` is for the error only.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::parse_with_context(path, text).map(|(config, _)| config)
    }

    /// Parses a configuration, and returns what its included files need. `path` is for the error only.
    pub(crate) fn parse_with_context(path: &Path, text: &str) -> Result<(Self, IncludeContext), ConfigError> {
        match Self::parse_by_section(path, text) {
            Err(_) if schema::is_small(text) => Self::parse_whole(path, text),
            parsed => parsed,
        }
    }

    /// Parses a configuration in little memory. Errors if it is invalid or has an unusual layout.
    pub(crate) fn parse_by_section(path: &Path, text: &str) -> Result<(Self, IncludeContext), ConfigError> {
        sections::read(path, &mut Cursor::new(text))
    }

    /// Parses a configuration as one document, which gives errors with line and key.
    pub(crate) fn parse_whole(path: &Path, text: &str) -> Result<(Self, IncludeContext), ConfigError> {
        let (shared, raw) = schema::read(path, text)?;
        let fail = |(key, message)| ConfigError::at_key(path, text, key, message);
        let (mut profiles, mut pins, mut interner) = (BTreeMap::new(), BTreeMap::new(), Interner::default());
        let rules = shared.rules();
        for (name, profile) in raw.profiles {
            let valid = profile.validate(&rules, &mut interner);
            let valid = valid.map_err(|(key, message)| fail((format!("profiles.{name}.{key}"), message)))?;
            profiles.insert(name, Arc::new(valid));
        }
        for (name, pin) in raw.included {
            let valid = pin.validate().map_err(|(key, message)| fail((format!("included.{name}.{key}"), message)))?;
            pins.insert(name, valid);
        }
        shared.into_config(profiles, pins).map_err(fail)
    }
}

impl RawShared {
    /// Returns the configuration with these profiles, and what its included files need. Errors with a key and a message.
    fn into_config(
        self,
        profiles: BTreeMap<ProfileName, Arc<ProfileConfig>>,
        pins: BTreeMap<ProfileName, UserPin>,
    ) -> Result<(Config, IncludeContext), (String, String)> {
        let (network, lock) = (Arc::new(self.network()?), self.lock_times());
        let (notifications, audit_to_syslog) = (self.notifications(), self.audit_to_syslog());
        let (confirm_program, patterns) = (self.confirm_program(), self.include()?);
        let sources = schema::valid_sources(self.sources)?;
        let origins = Origins::default();
        let config =
            Config { sources, profiles, origins, network, lock, notifications, audit_to_syslog, confirm_program };
        Ok((config, IncludeContext { patterns, pins, defaults: self.defaults, network: self.network }))
    }
}

impl RawProfile {
    /// Checks the rules that involve several keys and fills in the defaults. Errors with a key and a message.
    fn validate(
        self,
        context: &ProfileRules<'_>,
        interner: &mut Interner,
    ) -> Result<ProfileConfig, (&'static str, String)> {
        if let Some(sources) = context.sources.as_ref().filter(|sources| !sources.contains(&self.source)) {
            return Err(("source", unknown_source(&self.source, sources.iter().map(|name| name.as_str()))));
        }
        context.check_region(&self.region).map_err(|message| ("region", message))?;
        let defaults = context.defaults;
        let pin = self.api_server().pinned_cluster()?;
        let inputs = self.inputs();
        let constraints = self.constraints().or(defaults.constraints())?;
        let keep_warm = self.keep_warm.or(defaults.keep_warm).map_or(DEFAULT_KEEP_WARM, schema::KeepWarm::get);
        let max_lifetime = constraints.as_ref().and_then(|constraints| constraints.max_lifetime);
        let roles = roles(self.via, self.role_arn, &self.region)?;
        let inputs = inputs.validate(&defaults.inputs(), roles.len(), &self.region)?;
        let session_name = self.session_name.or_else(|| defaults.session_name.clone());
        let session_name = session_name.map_or_else(|| DEFAULT_SESSION_NAME.into(), Arc::from);
        Ok(ProfileConfig {
            cluster: interned(&mut interner.clusters, self.cluster),
            region: interned(&mut interner.regions, self.region),
            source: interned(&mut interner.sources, self.source),
            roles,
            external_id: self.external_id,
            duration: self.duration.or(defaults.duration).map_or(DEFAULT_DURATION, schema::SessionDuration::get),
            // After its lifetime nothing uses the session.
            keep_warm: max_lifetime.map_or(keep_warm, |limit| keep_warm.min(limit)),
            session_name: interned(&mut interner.session_names, session_name),
            pin: pin.map(|pin| interned(&mut interner.pins, Arc::new(pin))),
            pin_mode: self.pin.or(defaults.pin).unwrap_or_default(),
            entry_key: self.entry_key,
            protected: self.protected.unwrap_or(false),
            tokens_only: self.credentials.or(defaults.credentials) == Some(false),
            inputs: inputs.map(|inputs| interned(&mut interner.inputs, Arc::new(inputs))),
            constraints: constraints.map(|all| interned(&mut interner.constraints, Arc::new(all))),
        })
    }
}

impl ApiServer<'_> {
    /// Returns the pin, if there is one. Errors with a key and a message.
    fn pinned_cluster(&self) -> Result<Option<Pin>, (&'static str, String)> {
        // The client writes it into the kubeconfig; the daemon needs its hash only.
        if self.certificate_authority_data.is_some() && (self.server.is_none() || self.ca_sha256.is_none()) {
            return Err(("certificate_authority_data", "has no effect without server and ca_sha256".to_owned()));
        }
        if let Some(server) = self.server {
            return Ok(Some(Pin {
                server: server.as_str().to_owned(),
                ca_sha256: self.ca_sha256.map(|hash| hash.0.clone()),
                tls_server_name: self.tls_server_name.clone(),
                proxy_url: self.proxy_url.clone(),
            }));
        }
        let without_effect = [
            ("ca_sha256", self.ca_sha256.is_some()),
            ("tls_server_name", self.tls_server_name.is_some()),
            ("proxy_url", self.proxy_url.is_some()),
        ];
        match without_effect.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err((key, "has no effect without server".to_owned())),
            None => Ok(None),
        }
    }
}

impl RawPin {
    /// Checks the rules that involve several keys. Errors with a key and a message.
    fn validate(self) -> Result<UserPin, (&'static str, String)> {
        Ok(UserPin { pin: self.api_server().pinned_cluster()?.map(Arc::new), entry_key: self.entry_key })
    }
}

/// Returns the roles to assume, in order.
fn roles(via: Vec<RoleArn>, last: Option<RoleArn>, region: &Region) -> Result<Vec<RoleArn>, (&'static str, String)> {
    let mut roles = via;
    match last {
        Some(role) => roles.push(role),
        None if roles.is_empty() => {}
        None => return Err(("via", "has no effect without role_arn".to_owned())),
    }
    if roles.len() > MAX_STEPS {
        return Err(("via", format!("makes {} roles in all, the limit is {MAX_STEPS}", roles.len())));
    }
    if let Some(role) = roles.iter().find(|role| role.partition() != partition(region)) {
        let message = format!("is in partition {}, but the region {region} is not", role.partition());
        return Err(("role_arn", message));
    }
    roles.shrink_to_fit();
    Ok(roles)
}

/// Returns the equal value of an earlier profile, or `value` itself.
fn interned<T: Hash + Eq + Clone>(interner: &mut HashSet<T>, value: T) -> T {
    if let Some(known) = interner.get(&value) {
        return known.clone();
    }
    interner.insert(value.clone());
    value
}

impl ConfigError {
    /// Returns an error of the text of a file, with the line of the key.
    fn at_key(path: &Path, text: &str, key: String, message: String) -> Self {
        Self { path: path.to_owned(), line: schema::line_of(text, &key), key: Some(key), message }
    }

    /// Returns an error of a file as a whole.
    fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, key: None, message: message.into() }
    }

    /// Returns the error as the protocol sends it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let hint = if self.line.is_some() { "Fix that line." } else { "Fix the file." };
        ErrorBody::new(ErrorCode::ConfigInvalid, self.to_string()).hint(hint)
    }
}

/// The partitions besides `aws`: the prefix of their regions (`partitions.json` in botocore), their name, and a region that
/// is enabled in every account.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "cn-north-1"),
    ("us-gov-", "aws-us-gov", "us-gov-west-1"),
    ("eusc-", "aws-eusc", "eusc-de-east-1"),
    ("us-iso-", "aws-iso", "us-iso-east-1"),
    ("us-isob-", "aws-iso-b", "us-isob-east-1"),
    ("eu-isoe-", "aws-iso-e", "eu-isoe-west-1"),
    ("us-isof-", "aws-iso-f", "us-isof-south-1"),
];

/// Returns the partition of a region.
#[must_use]
pub fn partition(region: &Region) -> &'static str {
    let found = PARTITIONS.iter().find(|(prefix, ..)| region.as_str().starts_with(prefix));
    found.map_or("aws", |(_, partition, _)| partition)
}

/// Returns the region of a partition that is enabled in every account, for services without regions.
#[must_use]
pub fn home_region(region: &Region) -> Region {
    match PARTITIONS.iter().find(|(prefix, ..)| region.as_str().starts_with(prefix)) {
        Some((.., home)) => home.parse().unwrap_or_else(|_| region.clone()),
        None => Region::us_east_1(),
    }
}

fn unknown_source<'a>(wanted: &SourceName, known: impl Iterator<Item = &'a str>) -> String {
    let near = similar_names(wanted.as_str(), known);
    match near.first() {
        Some(near) => format!("unknown source \"{wanted}\"; did you mean \"{near}\"?"),
        None => format!("unknown source \"{wanted}\"; add [sources.{wanted}]"),
    }
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn in_key(key: Option<&str>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
