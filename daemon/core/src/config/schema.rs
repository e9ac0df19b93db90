//! The TOML schema of the configuration: every table and its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rolecall_protocol::{IncludePattern, MAX_INCLUDED_FILES, ProfileName, Region, SourceName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod constraints;
mod error_text;
mod included;
mod keys;
mod profile;
#[cfg(test)]
mod reference;
mod size;
mod source;
mod values;

use super::environment::RawEnvironment;
use super::network::{Endpoints, Network, RawNetwork};
use super::notifications::{Notifications, RawNotifications};
pub(super) use error_text::line_of;
use error_text::{line_at, one_line, shown_path, unknown_key};
pub(super) use included::{RawIncluded, read_included};
pub(super) use profile::{ApiServer, RawDefaults, RawPin, RawProfile};
use size::check_size;
pub(super) use size::{MAX_BYTES_AT_ONCE, MAX_MARKS, MAX_MARKS_AT_ONCE, count_marks, is_small, too_large_table};
use source::RawMfa;
pub(super) use source::{RawSource, valid_sources};
use values::AbsolutePath;
pub(super) use values::{KeepWarm, LockTime, SessionDuration};

use super::{ConfigError, LockRules};

/// The profiles.
pub(super) type RawProfiles = BTreeMap<ProfileName, RawProfile>;

/// The API servers and entry keys of included profiles.
pub(super) type RawPins = BTreeMap<ProfileName, RawPin>;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default)]
    include: Vec<IncludePattern>,
    #[serde(default)]
    pub(super) defaults: RawDefaults,
    #[serde(default)]
    endpoints: Endpoints,
    #[serde(default)]
    pub(super) network: RawNetwork,
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
    pub(super) included: Option<RawPins>,
    pub(super) profiles: Option<RawProfiles>,
}

/// What the validation of a profile depends on.
pub(super) struct ProfileRules<'a> {
    pub(super) defaults: &'a RawDefaults,
    pub(super) network: &'a RawNetwork,
    /// The sources that a profile may name; `None` if they are not known yet.
    pub(super) sources: Option<BTreeSet<&'a SourceName>>,
}

/// The section of one profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfileSection {
    #[serde(default)]
    pub(super) profiles: RawProfiles,
    #[serde(default)]
    pub(super) included: RawPins,
}

/// `[lock]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    idle: Option<LockTime>,
    max: Option<LockTime>,
    #[serde(default)]
    on_screen_lock: bool,
    #[serde(default)]
    on_sleep: bool,
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

/// Parses the text of a file. Errors with line and key.
pub(super) fn deserialize<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let fail = |error: &toml::de::Error, key: Option<String>, message: String| ConfigError {
        path: path.to_owned(),
        line: error.span().map(|span| line_at(text, span.start)),
        key,
        message,
    };
    check_size(text).map_err(|message| ConfigError { path: path.to_owned(), line: None, key: None, message })?;
    let document = toml::Deserializer::parse(text).map_err(|error| fail(&error, None, one_line(&error)))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let message = unknown_key(error.path()).unwrap_or_else(|| one_line(error.inner()));
        let key = shown_path(error.path());
        fail(error.inner(), (!key.is_empty()).then_some(key), message)
    })
}

impl RawConfig {
    /// Returns endpoints, proxy, CA bundle, and the environment of programs. Errors with a key and a message.
    pub(super) fn network(&self) -> Result<Network, (String, String)> {
        Ok(Network {
            endpoints: self.endpoints.clone(),
            path: self.network.validate()?,
            environment: self.environment.validate()?,
            extra_regions: self.network.extra_regions(),
        })
    }

    /// Returns what the validation of a profile depends on.
    pub(super) fn rules(&self) -> ProfileRules<'_> {
        ProfileRules { defaults: &self.defaults, network: &self.network, sources: Some(self.sources.keys().collect()) }
    }

    /// Returns the patterns of the included files. Errors with a key and a message.
    pub(super) fn include(&self) -> Result<Vec<IncludePattern>, (String, String)> {
        match self.include.len() {
            ..=MAX_INCLUDED_FILES => Ok(self.include.clone()),
            count => Err(("include".to_owned(), format!("has {count} paths, the limit is {MAX_INCLUDED_FILES}"))),
        }
    }

    /// Returns when the agent locks by itself.
    pub(super) fn lock_rules(&self) -> LockRules {
        let RawLock { idle, max, on_screen_lock, on_sleep } = self.lock;
        LockRules { idle: idle.map(|time| time.0), max: max.map(|time| time.0), on_screen_lock, on_sleep }
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
}

impl ProfileRules<'_> {
    /// Errors with a message if a region is neither a known one of AWS nor allowed.
    pub(super) fn check_region(&self, region: &Region) -> Result<(), String> {
        self.network.check_region(region)
    }
}
