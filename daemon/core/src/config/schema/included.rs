//! The schema of an included file. Its author chooses roles and sources for the user, so it has fewer tables and keys than
//! the configuration: nothing that runs a program, names a key of the keyring, leads to another
//! endpoint, or gives a token to other kubeconfigs.

use std::collections::BTreeMap;
use std::path::Path;

use rolecall_protocol::SourceName;
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::{ProfileRules, RawDefaults, RawProfile, RawProfiles, RawSource, deserialize, valid_sources};
use crate::config::interner::Interner;
use crate::config::{ConfigError, PinMode, ProfileConfig, SourceConfig};

/// The message for a table or a key that only the configuration itself may have.
const USERS_OWN: &str = "must not be in an included file, because it belongs to your own configuration";

/// An included file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawIncluded {
    #[serde(default)]
    defaults: RawDefaults,
    #[serde(default)]
    sources: BTreeMap<SourceName, RawSource>,
    pub(in crate::config) profiles: Option<RawProfiles>,
    #[serde(rename = "include", default)]
    _include: NotNested,
    #[serde(rename = "endpoints", default)]
    _endpoints: NotIncluded,
    #[serde(rename = "network", default)]
    _network: NotIncluded,
    #[serde(rename = "environment", default)]
    _environment: NotIncluded,
    #[serde(rename = "lock", default)]
    _lock: NotIncluded,
    #[serde(rename = "notifications", default)]
    _notifications: NotIncluded,
    #[serde(rename = "audit", default)]
    _audit: NotIncluded,
    #[serde(rename = "confirm", default)]
    _confirm: NotIncluded,
    #[serde(rename = "client", default)]
    _client: NotIncluded,
    #[serde(rename = "included", default)]
    _included: NotIncluded,
}

/// A table that an included file must not have.
#[derive(Default)]
struct NotIncluded;

/// `include`, which an included file must not have.
#[derive(Default)]
struct NotNested;

/// Parses the text of an included file as one document. Errors with line and key.
pub(in crate::config) fn read_included(path: &Path, text: &str) -> Result<RawIncluded, ConfigError> {
    deserialize(path, text)
}

impl RawIncluded {
    /// Returns the defaults of the profiles of this file: its own, then those of the user. Errors with a key and a message.
    pub(in crate::config) fn defaults(&self, user: &RawDefaults) -> Result<RawDefaults, (String, String)> {
        let own = self.defaults.clone();
        let has_key = [("sts_endpoint", own.sts_endpoint.is_some())].into_iter();
        check_keys(has_key, own.pin).map_err(|(key, message)| (format!("defaults.{key}"), message))?;
        Ok(RawDefaults {
            session_name: own.session_name.or_else(|| user.session_name.clone()),
            duration: own.duration.or(user.duration),
            keep_warm: own.keep_warm.or(user.keep_warm),
            pin: stricter(own.pin, user.pin, Ord::min),
            max_lifetime: stricter(own.max_lifetime, user.max_lifetime, Ord::min),
            confirm: stricter(own.confirm, user.confirm, Ord::max),
            credentials: stricter(own.credentials, user.credentials, Ord::min),
            allowed_programs: user.allowed_programs.clone().or(own.allowed_programs),
            allowed_hours: user.allowed_hours.clone().or(own.allowed_hours),
            source_identity: own.source_identity.or_else(|| user.source_identity.clone()),
            tags: own.tags.or_else(|| user.tags.clone()),
            transitive_tags: own.transitive_tags.or_else(|| user.transitive_tags.clone()),
            policy_arns: own.policy_arns.or_else(|| user.policy_arns.clone()),
            policy: own.policy.or_else(|| user.policy.clone()),
            sts_endpoint: user.sts_endpoint.clone(),
            fips: own.fips.or(user.fips),
            dual_stack: own.dual_stack.or(user.dual_stack),
        })
    }

    /// Returns the sources. Errors with a key and a message.
    pub(in crate::config) fn valid_sources(self) -> Result<BTreeMap<SourceName, SourceConfig>, (String, String)> {
        for (name, source) in &self.sources {
            for (key, is_set) in [("keyring", source.keyring.is_some()), ("mfa", source.mfa.is_some())] {
                if is_set {
                    let message = format!("{USERS_OWN}; an included source names an AWS profile");
                    return Err((format!("sources.{name}.{key}"), message));
                }
            }
        }
        valid_sources(self.sources)
    }
}

impl RawProfile {
    /// Checks a profile of an included file. `user` are the defaults of the configuration: where they restrict the use of
    /// profiles, the profile cannot allow more. Errors with a key and a message.
    pub(in crate::config) fn validate_included(
        mut self,
        rules: &ProfileRules<'_>,
        user: &RawDefaults,
        interner: &mut Interner,
    ) -> Result<ProfileConfig, (&'static str, String)> {
        let keys = [
            ("entry_key", self.entry_key.is_some()),
            ("server", self.server.is_some()),
            ("ca_sha256", self.ca_sha256.is_some()),
            ("certificate_authority_data", self.certificate_authority_data.is_some()),
            ("tls_server_name", self.tls_server_name.is_some()),
            ("proxy_url", self.proxy_url.is_some()),
            ("sts_endpoint", self.sts_endpoint.is_some()),
        ];
        check_keys(keys.into_iter(), self.pin)?;
        self.pin = self.pin.map(|own| user.pin.map_or(own, |user| user.min(own)));
        self.max_lifetime = stricter(self.max_lifetime, user.max_lifetime, Ord::min);
        self.confirm = stricter(self.confirm, user.confirm, Ord::max);
        self.credentials = stricter(self.credentials, user.credentials, Ord::min);
        self.allowed_programs = user.allowed_programs.clone().or(self.allowed_programs);
        self.allowed_hours = user.allowed_hours.clone().or(self.allowed_hours);
        self.validate(rules, interner)
    }
}

/// Errors if one of the keys is set, or if the pin is off.
fn check_keys(
    mut keys: impl Iterator<Item = (&'static str, bool)>,
    pin: Option<PinMode>,
) -> Result<(), (&'static str, String)> {
    match keys.find(|(_, is_set)| *is_set) {
        Some((key, _)) => Err((key, USERS_OWN.to_owned())),
        None if pin == Some(PinMode::Off) => Err((
            "pin",
            "must not be \"off\" in an included file, so that only your kubeconfigs get a token".to_owned(),
        )),
        None => Ok(()),
    }
}

/// Returns what `choose` picks of two settings, or the only one.
fn stricter<T>(own: Option<T>, user: Option<T>, choose: fn(T, T) -> T) -> Option<T> {
    match (own, user) {
        (Some(own), Some(user)) => Some(choose(own, user)),
        (own, user) => own.or(user),
    }
}

impl<'de> Deserialize<'de> for NotIncluded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(D::Error::custom(format!("{USERS_OWN}; an included file has sources, profiles and defaults")))
    }
}

impl<'de> Deserialize<'de> for NotNested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        Err(D::Error::custom("must not be in an included file; name each file in your own configuration"))
    }
}
