//! Checks the rules that involve several keys, and fills in the defaults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ProfileName, Region, RoleArn, SourceName, similar_names};

use super::included::{IncludeContext, Origins, UserPin};
use super::interner::{Interner, interned};
use super::partition::partition;
use super::schema::{self, ApiServer, ProfileRules, RawConfig, RawPin, RawProfile};
use super::{Config, DEFAULT_SESSION_NAME, Pin, ProfileConfig};

/// The default session duration, which is also AWS's default for a role.
const DEFAULT_DURATION: Duration = Duration::from_hours(1);
/// The default of `keep_warm`: a working day (B1).
const DEFAULT_KEEP_WARM: Duration = Duration::from_hours(8);
/// The limit of roles in a profile.
const MAX_STEPS: usize = 5;

impl RawConfig {
    /// Returns the configuration with these profiles, and what its included files need. Errors with a key and a message.
    pub(super) fn into_config(
        self,
        profiles: BTreeMap<ProfileName, Arc<ProfileConfig>>,
        pins: BTreeMap<ProfileName, UserPin>,
    ) -> Result<(Config, IncludeContext), (String, String)> {
        let (network, lock) = (Arc::new(self.network()?), self.lock_rules());
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
    pub(super) fn validate(
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
    pub(super) fn validate(self) -> Result<UserPin, (&'static str, String)> {
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

pub(super) fn unknown_source<'a>(wanted: &SourceName, known: impl Iterator<Item = &'a str>) -> String {
    let near = similar_names(wanted.as_str(), known);
    match near.first() {
        Some(near) => format!("unknown source \"{wanted}\"; did you mean \"{near}\"?"),
        None => format!("unknown source \"{wanted}\"; add [sources.{wanted}]"),
    }
}
