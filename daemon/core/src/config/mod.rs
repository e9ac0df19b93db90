//! The configuration: one TOML file, read whole, validated whole, replaced whole.
//!
//! [`Config::parse`] turns text into validated types, or into one [`ConfigError`] that says file, line and key and
//! never repeats the file's content. [`mod@file`] reads it with a cap and distrust, `pieces` in little memory; [`store`]
//! follows it and keeps the last good one.

mod duration;
pub mod file;
pub mod inputs;
pub mod network;
pub mod notifications;
mod pieces;
mod schema;
mod template;
mod trusted_file;
pub mod url;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inputs::InputsPerStep;
use network::Network;
use notifications::Notifications;
use rolecall_protocol::{
    ClusterName, ErrorBody, ErrorCode, ExternalId, KeyName, MfaSerial, ProfileName, Region, RoleArn, SourceName,
    similar_names,
};
use schema::{RawProfile, RawShared};
use serde::{Deserialize, Serialize};
pub use template::NameTemplate;

/// STS's bounds of a session (AssumeRole, DurationSeconds).
pub const SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(12);
/// STS's bounds of what one MFA code is good for (GetSessionToken, DurationSeconds).
pub const MFA_SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(36);
/// What that is if nothing else is said: a working day, and AWS's own default.
pub const DEFAULT_MFA_SESSION: Duration = Duration::from_hours(12);
/// What a session lasts if nothing else is said; AWS's own default for a role.
const DEFAULT_DURATION: Duration = Duration::from_hours(1);
/// A working day (B1).
const DEFAULT_KEEP_WARM: Duration = Duration::from_hours(8);
/// What CloudTrail shows if nothing else is said.
pub const DEFAULT_SESSION_NAME: &str = "{user}@{host}";
/// More steps than this are a mistake, not an organisation.
const MAX_STEPS: usize = 5;

/// A valid configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The sources by name.
    pub sources: BTreeMap<SourceName, SourceConfig>,
    /// The profiles by name. Each names a source that exists.
    pub profiles: BTreeMap<ProfileName, Arc<ProfileConfig>>,
    /// How AWS is reached.
    pub network: Arc<Network>,
    /// When the daemon locks by itself.
    pub lock: LockTimes,
    /// What a person is told unasked.
    pub notifications: Notifications,
}

/// When the daemon locks by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockTimes {
    /// So long after its last use.
    pub idle: Option<Duration>,
    /// So long after it was unlocked, or started, however much it is used.
    pub max: Option<Duration>,
}

/// Where base credentials come from, and what a person has to give for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceConfig {
    /// Where they come from.
    pub kind: SourceKind,
    /// The MFA device whose codes they are made stronger with.
    pub mfa: Option<Arc<Mfa>>,
}

/// Where base credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    /// A profile of AWS's own configuration files, with the roles that it names.
    AwsProfile(String),
    /// What such a profile has beside the role that it names: what its own role, or another's, is assumed from.
    AwsProfileLeaf(String),
    /// Long-lived keys in the OS keyring.
    Keyring(KeyName),
}

/// An MFA device, and how long what it is good for lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mfa {
    /// The device.
    pub serial: MfaSerial,
    /// How long a session is asked for with one code, in [`MFA_SESSION_RANGE`].
    pub session: Duration,
    /// A command that prints a code.
    pub process: Option<String>,
}

/// What a person configured for one cluster and role, defaults filled in. What is the same in many profiles is shared by
/// them, since there may be ten thousand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileConfig {
    /// The EKS cluster.
    pub cluster: ClusterName,
    /// The cluster's region; STS is called there too.
    pub region: Region,
    /// A key of [`Config::sources`].
    pub source: SourceName,
    /// The roles to assume, in order; none where the source itself is mapped in the cluster.
    pub roles: Vec<RoleArn>,
    /// Sent with the last step.
    pub external_id: Option<ExternalId>,
    /// How long a session may last, in [`SESSION_RANGE`].
    pub duration: Duration,
    /// For how long after its last use the session is renewed unasked.
    pub keep_warm: Duration,
    /// The template of the session's name.
    pub session_name: Arc<str>,
    /// What the kubeconfig must say.
    pub pin: Option<Arc<Pin>>,
    /// What else each step is given.
    pub inputs: Option<Arc<InputsPerStep>>,
}

/// The cluster that a profile was added with. A kubeconfig that says otherwise gets no token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The API server's URL.
    pub server: String,
    /// SHA-256 (lower-case hex) of the CA bundle.
    pub ca_sha256: Option<String>,
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {}{message}", path.display(), at(*line), in_key(key.as_deref()))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key, such as `profiles.prod.region`.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl SourceConfig {
    /// That kind, without MFA.
    #[must_use]
    pub const fn plain(kind: SourceKind) -> Self {
        Self { kind, mfa: None }
    }

    /// The AWS profile whose settings (`endpoint_url`, `services`) its calls go by.
    #[must_use]
    pub fn aws_profile(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => Some(profile),
            SourceKind::Keyring(_) => None,
        }
    }

    /// The source in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => format!("AWS profile {profile}"),
            SourceKind::Keyring(name) => format!("keys {name} in the keyring"),
        }
    }
}

/// What profiles have shown so far that another may repeat.
#[derive(Default)]
struct Interner {
    clusters: HashSet<ClusterName>,
    regions: HashSet<Region>,
    sources: HashSet<SourceName>,
    session_names: HashSet<Arc<str>>,
    pins: HashSet<Arc<Pin>>,
    inputs: HashSet<Arc<InputsPerStep>>,
}

impl Config {
    /// Reads a configuration. `path` is for the error alone.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        match pieces::read(&mut Cursor::new(text)) {
            Some(config) => Ok(config),
            None => Self::parse_whole(path, text),
        }
    }

    /// Reads a configuration in one piece, which alone can tell what is wrong with it and where.
    fn parse_whole(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let (shared, raw) = schema::read(path, text)?;
        let fail = |(key, message): (String, String)| ConfigError {
            path: path.to_owned(),
            line: schema::line_of(text, &key),
            key: Some(key),
            message,
        };
        let (mut profiles, mut interner) = (BTreeMap::new(), Interner::default());
        for (name, profile) in raw {
            let valid = profile.valid(&shared, &mut interner);
            let valid = valid.map_err(|(key, message)| fail((format!("profiles.{name}.{key}"), message)))?;
            profiles.insert(name, Arc::new(valid));
        }
        let (network, lock) = (Arc::new(shared.network().map_err(fail)?), shared.lock_times());
        let notifications = shared.notifications();
        Ok(Self { sources: shared.valid_sources().map_err(fail)?, profiles, network, lock, notifications })
    }
}

impl RawProfile {
    /// Checks what no single value can tell, and fills in the defaults. An error is a key and what is wrong with it.
    fn valid(self, shared: &RawShared, interner: &mut Interner) -> Result<ProfileConfig, (&'static str, String)> {
        if !shared.sources.contains_key(&self.source) {
            return Err(("source", unknown_source(&self.source, shared)));
        }
        let pin = self.pin()?;
        let inputs = self.inputs();
        let roles = roles(self.via, self.role_arn, &self.region)?;
        let inputs = inputs.valid(&shared.defaults.inputs(), roles.len(), &self.region)?;
        let session_name = self.session_name.or_else(|| shared.defaults.session_name.clone());
        let session_name = session_name.map_or_else(|| DEFAULT_SESSION_NAME.into(), Arc::from);
        Ok(ProfileConfig {
            cluster: interned(&mut interner.clusters, self.cluster),
            region: interned(&mut interner.regions, self.region),
            source: interned(&mut interner.sources, self.source),
            roles,
            external_id: self.external_id,
            duration: self.duration.or(shared.defaults.duration).map_or(DEFAULT_DURATION, schema::SessionLength::get),
            keep_warm: self.keep_warm.or(shared.defaults.keep_warm).map_or(DEFAULT_KEEP_WARM, schema::WarmTime::get),
            session_name: interned(&mut interner.session_names, session_name),
            pin: pin.map(|pin| interned(&mut interner.pins, Arc::new(pin))),
            inputs: inputs.map(|inputs| interned(&mut interner.inputs, Arc::new(inputs))),
        })
    }

    fn pin(&self) -> Result<Option<Pin>, (&'static str, String)> {
        match (&self.server, &self.ca_sha256) {
            (Some(server), ca_sha256) => Ok(Some(Pin {
                server: server.as_str().to_owned(),
                ca_sha256: ca_sha256.as_ref().map(|hash| hash.0.clone()),
            })),
            (None, Some(_)) => Err(("ca_sha256", "pins nothing without server".to_owned())),
            (None, None) => Ok(None),
        }
    }
}

/// The roles to assume, in order.
fn roles(via: Vec<RoleArn>, last: Option<RoleArn>, region: &Region) -> Result<Vec<RoleArn>, (&'static str, String)> {
    let mut roles = via;
    match last {
        Some(role) => roles.push(role),
        None if roles.is_empty() => {}
        None => return Err(("via", "leads nowhere without role_arn".to_owned())),
    }
    if roles.len() > MAX_STEPS {
        return Err(("via", format!("makes {} steps, {MAX_STEPS} are possible", roles.len())));
    }
    if let Some(role) = roles.iter().find(|role| role.partition() != partition(region)) {
        let message = format!("is of partition {}, the region {region} is not", role.partition());
        return Err(("role_arn", message));
    }
    roles.shrink_to_fit();
    Ok(roles)
}

/// The value, or its equal that came before.
fn interned<T: Hash + Eq + Clone>(interner: &mut HashSet<T>, value: T) -> T {
    if let Some(known) = interner.get(&value) {
        return known.clone();
    }
    interner.insert(value.clone());
    value
}

impl ConfigError {
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let hint = if self.line.is_some() { "Mend that line." } else { "Mend the file." };
        ErrorBody::new(ErrorCode::ConfigInvalid, self.to_string()).hint(hint)
    }
}

/// The partition of a region, by its prefix (the regions of `partitions.json` in botocore).
#[must_use]
pub fn partition(region: &Region) -> &'static str {
    const PREFIXES: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("eusc-", "aws-eusc"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
    ];
    let found = PREFIXES.iter().find(|(prefix, _)| region.as_str().starts_with(prefix));
    found.map_or("aws", |(_, partition)| partition)
}

/// The region of a partition that everybody has: where what is of no region is asked for.
#[must_use]
pub fn home_region(region: &Region) -> Region {
    let home = match partition(region) {
        "aws" => return Region::us_east_1(),
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        _ => "us-isof-south-1",
    };
    home.parse().unwrap_or_else(|_| region.clone())
}

fn unknown_source(wanted: &SourceName, shared: &RawShared) -> String {
    let near = similar_names(wanted.as_str(), shared.sources.keys().map(SourceName::as_str));
    match near.first() {
        Some(near) => format!("there is no source \"{wanted}\"; did you mean \"{near}\"?"),
        None => format!("there is no source \"{wanted}\"; add [sources.{wanted}]"),
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
