//! The configuration: one TOML file, which is read, validated and replaced as a whole.
//!
//! [`Config::parse`] returns validated types, or one [`ConfigError`] with file, line and key. The error never quotes the
//! contents of the file. [`mod@file`] reads the file and checks its owner, mode and size; `sections` parses it in little
//! memory.

mod duration;
pub mod environment;
mod error;
pub mod file;
pub mod include;
mod included;
pub mod inputs;
mod interner;
pub mod network;
pub mod notifications;
mod partition;
mod schema;
mod sections;
mod template;
mod trusted_file;
mod validate;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::constraints::Constraints;
pub use error::ConfigError;
use included::IncludeContext;
pub use included::{Origin, Origins};
use inputs::InputsPerStep;
use interner::Interner;
use network::Network;
use notifications::Notifications;
pub use partition::{home_region, partition};
use rolecall_protocol::{
    ClusterName, EntryKey, ExternalId, KeyName, MfaSerial, ProfileName, Region, RoleArn, SourceName,
};
use serde::{Deserialize, Serialize};
pub use template::NameTemplate;

/// The session duration that STS accepts (AssumeRole, DurationSeconds).
pub const SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(12);
/// The duration of an MFA session that STS accepts (GetSessionToken, DurationSeconds).
pub const MFA_SESSION_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(36);
/// The default duration of an MFA session, which is also AWS's default.
pub const DEFAULT_MFA_SESSION: Duration = Duration::from_hours(12);
/// The default template of the session name, which CloudTrail shows.
pub const DEFAULT_SESSION_NAME: &str = "{user}@{host}";
/// The limit of profiles, those of included files among them. A validated one needs up to 2 KB.
pub const MAX_PROFILES: usize = 20_000;

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
    /// When the agent locks by itself.
    pub lock: LockRules,
    /// The desktop notifications.
    pub notifications: Notifications,
    /// Whether the audit log goes to syslog too.
    pub audit_to_syslog: bool,
    /// The program that asks the user to confirm, if the configuration names one.
    pub confirm_program: Option<PathBuf>,
}

/// When the agent locks by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockRules {
    /// Lock after this time without use.
    pub idle: Option<Duration>,
    /// Lock this long after the unlock or the start, even if the agent is used.
    pub max: Option<Duration>,
    /// Lock when the desktop locks its screen.
    pub on_screen_lock: bool,
    /// Lock before the computer sleeps.
    pub on_sleep: bool,
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
        let mut raw: schema::RawConfig = schema::deserialize(path, text)?;
        let fail = |(key, message)| ConfigError::at_key(path, text, key, message);
        let (mut profiles, mut pins, mut interner) = (BTreeMap::new(), BTreeMap::new(), Interner::default());
        let (read, read_pins) = (raw.profiles.take().unwrap_or_default(), raw.included.take().unwrap_or_default());
        let rules = raw.rules();
        for (name, profile) in read {
            let valid = profile.validate(&rules, &mut interner);
            let valid = valid.map_err(|(key, message)| fail((format!("profiles.{name}.{key}"), message)))?;
            profiles.insert(name, Arc::new(valid));
        }
        for (name, pin) in read_pins {
            let valid = pin.validate().map_err(|(key, message)| fail((format!("included.{name}.{key}"), message)))?;
            pins.insert(name, valid);
        }
        raw.into_config(profiles, pins).map_err(fail)
    }
}

#[cfg(test)]
mod tests;
