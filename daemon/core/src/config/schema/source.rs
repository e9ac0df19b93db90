//! The table `[sources.NAME]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rolecall_protocol::{KeyName, MfaSerial, SourceName};
use serde::Deserialize;

use super::values::{Command, MfaDuration, aws_profile};
use crate::config::{DEFAULT_MFA_SESSION, Mfa, SourceConfig, SourceKind};

/// `[sources.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSource {
    #[serde(default, deserialize_with = "aws_profile")]
    aws_profile: Option<String>,
    pub(super) keyring: Option<KeyName>,
    pub(super) mfa: Option<RawMfa>,
}

/// `mfa` of a source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { serial = \"arn:aws:iam::111122223333:mfa/dev\" }")]
pub(in crate::config) struct RawMfa {
    serial: MfaSerial,
    session: Option<MfaDuration>,
    process: Option<Command>,
}

/// Returns the sources. Errors with a key and a message.
pub(in crate::config) fn valid_sources(
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
