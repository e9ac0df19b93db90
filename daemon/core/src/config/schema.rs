//! The TOML schema of the configuration: every table and its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolecall_protocol::{
    ClusterName, EndpointUrl, EntryKey, ExternalId, IncludePattern, KeyName, MAX_INCLUDED_FILES, MfaSerial, PolicyArn,
    ProfileName, Region, RoleArn, SourceIdentity, SourceName, TagKey, TagValue,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod constraints;
mod error_text;
mod included;
mod keys;
#[cfg(test)]
mod reference;
mod size;
mod values;

use super::environment::RawEnvironment;
use super::inputs::{Policy, RawInputs};
use super::network::{Endpoints, Network, RawNetwork};
use super::notifications::{Notifications, RawNotifications};
use crate::constraints::Confirm;
pub(super) use constraints::{RawConstraints, RawHours};
pub(super) use error_text::line_of;
use error_text::{line_at, one_line, shown_path, unknown_key};
pub(super) use included::{RawIncluded, read_included};
use size::check_size;
pub(super) use size::{MAX_BYTES_AT_ONCE, MAX_MARKS, MAX_MARKS_AT_ONCE, count_marks, is_small, too_large_table};
pub(super) use values::{AbsolutePath, KeepWarm, LockTime, ServerUrl, SessionDuration, Sha256Hex};
use values::{Command, MfaDuration, aws_profile, session_name};

use super::{ConfigError, DEFAULT_MFA_SESSION, LockTimes, Mfa, PinMode, SourceConfig, SourceKind};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    include: Vec<IncludePattern>,
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
    included: BTreeMap<ProfileName, RawPin>,
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
    pub(super) included: BTreeMap<ProfileName, RawPin>,
}

/// `[defaults]`: the defaults of keys that a profile can set too.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDefaults {
    #[serde(default, deserialize_with = "session_name")]
    pub(super) session_name: Option<String>,
    pub(super) duration: Option<SessionDuration>,
    pub(super) keep_warm: Option<KeepWarm>,
    pub(super) pin: Option<PinMode>,
    pub(super) credentials: Option<bool>,
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
    pub(super) credentials: Option<bool>,
    pub(super) max_lifetime: Option<LockTime>,
    pub(super) confirm: Option<Confirm>,
    pub(super) allowed_programs: Option<Vec<AbsolutePath>>,
    pub(super) allowed_hours: Option<RawHours>,
    pub(super) entry_key: Option<EntryKey>,
    pub(super) protected: Option<bool>,
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

/// `[included.NAME]`: the API server and the entry key of a profile of an included file, which belong to the user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPin {
    pub(super) entry_key: Option<EntryKey>,
    pub(super) server: Option<ServerUrl>,
    pub(super) ca_sha256: Option<Sha256Hex>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) proxy_url: Option<String>,
}

/// Parses the text. Errors with line and key.
pub(super) fn read(path: &Path, text: &str) -> Result<(RawShared, RawProfileSection), ConfigError> {
    let raw: Raw = deserialize(path, text)?;
    let Raw {
        include,
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
        included,
        profiles,
    } = raw;
    let shared = RawShared {
        include,
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
    Ok((shared, RawProfileSection { profiles, included }))
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

/// The keys of a profile or of `[included.NAME]` that name its API server.
pub(super) struct ApiServer<'a> {
    pub(super) server: Option<&'a ServerUrl>,
    pub(super) ca_sha256: Option<&'a Sha256Hex>,
    pub(super) certificate_authority_data: &'a Option<String>,
    pub(super) tls_server_name: &'a Option<String>,
    pub(super) proxy_url: &'a Option<String>,
}

/// Returns the [`ApiServer`] of a struct that has its keys.
macro_rules! api_server {
    ($raw:expr) => {
        ApiServer {
            server: $raw.server.as_ref(),
            ca_sha256: $raw.ca_sha256.as_ref(),
            certificate_authority_data: &$raw.certificate_authority_data,
            tls_server_name: &$raw.tls_server_name,
            proxy_url: &$raw.proxy_url,
        }
    };
}

impl RawPin {
    pub(super) fn api_server(&self) -> ApiServer<'_> {
        api_server!(self)
    }
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
    pub(super) fn api_server(&self) -> ApiServer<'_> {
        api_server!(self)
    }

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
}

impl ProfileRules<'_> {
    /// Errors with a message if a region is neither a known one of AWS nor allowed.
    pub(super) fn check_region(&self, region: &Region) -> Result<(), String> {
        self.network.check_region(region)
    }
}

/// Returns the sources. Errors with a key and a message.
pub(super) fn valid_sources(
    sources: BTreeMap<SourceName, RawSource>,
) -> Result<BTreeMap<SourceName, SourceConfig>, (String, String)> {
    let valid = |(name, source): (SourceName, RawSource)| match source.validate() {
        Ok(source) => Ok((name, source)),
        Err(message) => Err((format!("sources.{name}"), message)),
    };
    sources.into_iter().map(valid).collect()
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
