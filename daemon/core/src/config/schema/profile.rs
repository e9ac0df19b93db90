//! The tables with the keys of a profile: `[profiles.NAME]`, `[defaults]` and `[included.NAME]`.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_protocol::{
    ClusterName, EndpointUrl, EntryKey, ExternalId, PolicyArn, Region, RoleArn, SourceIdentity, SourceName, TagKey,
    TagValue,
};
use serde::Deserialize;

use super::constraints::{RawConstraints, RawHours};
use super::values::{AbsolutePath, KeepWarm, LockTime, ServerUrl, SessionDuration, Sha256Hex, session_name};
use crate::config::PinMode;
use crate::config::inputs::{Policy, RawInputs};
use crate::constraints::Confirm;

/// `[defaults]`: the defaults of keys that a profile can set too.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDefaults {
    #[serde(default, deserialize_with = "session_name")]
    pub(in crate::config) session_name: Option<String>,
    pub(in crate::config) duration: Option<SessionDuration>,
    pub(in crate::config) keep_warm: Option<KeepWarm>,
    pub(in crate::config) pin: Option<PinMode>,
    pub(in crate::config) credentials: Option<bool>,
    pub(in crate::config) max_lifetime: Option<LockTime>,
    pub(in crate::config) confirm: Option<Confirm>,
    pub(in crate::config) allowed_programs: Option<Vec<AbsolutePath>>,
    pub(in crate::config) allowed_hours: Option<RawHours>,
    pub(in crate::config) source_identity: Option<SourceIdentity>,
    pub(in crate::config) tags: Option<BTreeMap<TagKey, TagValue>>,
    pub(in crate::config) transitive_tags: Option<BTreeSet<TagKey>>,
    pub(in crate::config) policy_arns: Option<Vec<PolicyArn>>,
    pub(in crate::config) policy: Option<Policy>,
    pub(in crate::config) sts_endpoint: Option<EndpointUrl>,
    pub(in crate::config) fips: Option<bool>,
    pub(in crate::config) dual_stack: Option<bool>,
}

/// `[profiles.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawProfile {
    pub(in crate::config) cluster: ClusterName,
    pub(in crate::config) region: Region,
    pub(in crate::config) source: SourceName,
    pub(in crate::config) role_arn: Option<RoleArn>,
    #[serde(default)]
    pub(in crate::config) via: Vec<RoleArn>,
    pub(in crate::config) external_id: Option<ExternalId>,
    pub(in crate::config) duration: Option<SessionDuration>,
    pub(in crate::config) keep_warm: Option<KeepWarm>,
    #[serde(default, deserialize_with = "session_name")]
    pub(in crate::config) session_name: Option<String>,
    pub(in crate::config) pin: Option<PinMode>,
    pub(in crate::config) credentials: Option<bool>,
    pub(in crate::config) max_lifetime: Option<LockTime>,
    pub(in crate::config) confirm: Option<Confirm>,
    pub(in crate::config) allowed_programs: Option<Vec<AbsolutePath>>,
    pub(in crate::config) allowed_hours: Option<RawHours>,
    pub(in crate::config) entry_key: Option<EntryKey>,
    pub(in crate::config) protected: Option<bool>,
    pub(in crate::config) server: Option<ServerUrl>,
    pub(in crate::config) ca_sha256: Option<Sha256Hex>,
    pub(in crate::config) certificate_authority_data: Option<String>,
    pub(in crate::config) tls_server_name: Option<String>,
    pub(in crate::config) proxy_url: Option<String>,
    pub(in crate::config) source_identity: Option<SourceIdentity>,
    pub(in crate::config) tags: Option<BTreeMap<TagKey, TagValue>>,
    pub(in crate::config) transitive_tags: Option<BTreeSet<TagKey>>,
    pub(in crate::config) policy_arns: Option<Vec<PolicyArn>>,
    pub(in crate::config) policy: Option<Policy>,
    pub(in crate::config) sts_endpoint: Option<EndpointUrl>,
    pub(in crate::config) fips: Option<bool>,
    pub(in crate::config) dual_stack: Option<bool>,
}

/// `[included.NAME]`: the API server and the entry key of a profile of an included file, which belong to the user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPin {
    pub(in crate::config) entry_key: Option<EntryKey>,
    pub(in crate::config) server: Option<ServerUrl>,
    pub(in crate::config) ca_sha256: Option<Sha256Hex>,
    pub(in crate::config) certificate_authority_data: Option<String>,
    pub(in crate::config) tls_server_name: Option<String>,
    pub(in crate::config) proxy_url: Option<String>,
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
pub(in crate::config) struct ApiServer<'a> {
    pub(in crate::config) server: Option<&'a ServerUrl>,
    pub(in crate::config) ca_sha256: Option<&'a Sha256Hex>,
    pub(in crate::config) certificate_authority_data: &'a Option<String>,
    pub(in crate::config) tls_server_name: &'a Option<String>,
    pub(in crate::config) proxy_url: &'a Option<String>,
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
    pub(in crate::config) fn api_server(&self) -> ApiServer<'_> {
        api_server!(self)
    }
}

impl RawDefaults {
    pub(in crate::config) fn constraints(&self) -> RawConstraints {
        constraints!(self)
    }

    pub(in crate::config) fn inputs(&self) -> RawInputs {
        inputs!(self)
    }
}

impl RawProfile {
    pub(in crate::config) fn api_server(&self) -> ApiServer<'_> {
        api_server!(self)
    }

    pub(in crate::config) fn constraints(&self) -> RawConstraints {
        constraints!(self)
    }

    pub(in crate::config) fn inputs(&self) -> RawInputs {
        inputs!(self)
    }
}
