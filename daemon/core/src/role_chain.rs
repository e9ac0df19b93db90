//! The roles that lead from a source to a session.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ExternalId, Region, RoleArn};
use serde::{Deserialize, Serialize};

use crate::config::inputs::{StepInputs, StsAddress};
use crate::config::{NameTemplate, SourceConfig, SourceKind, home_region};

/// The longest session of a role that another role assumes (STS, role chaining).
pub const MAX_CHAINED_DURATION: Duration = Duration::from_hours(1);

/// The roles from a source to a session, each an AssumeRole. A chain holds every input of every call. Equal chains
/// therefore have equal sessions, and a changed configuration never gets a session of the old one.
///
/// Clones share one allocation, because a chain is the key of several maps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleChain(Arc<RoleChainParts>);

/// The parts of a [`RoleChain`].
#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleChainParts {
    /// The source of the base credentials.
    pub source: SourceConfig,
    /// The AWS profile whose settings (`endpoint_url`, `services`) apply to the last call, if it is not the source's.
    pub settings: Option<Box<str>>,
    /// The region of STS.
    pub region: Region,
    /// The roles to assume, in order. The snapshot of a restart keeps the field's first name, so that an upgrade keeps the
    /// sessions.
    #[serde(rename = "hops")]
    pub steps: Vec<RoleStep>,
}

impl Deref for RoleChain {
    type Target = RoleChainParts;

    fn deref(&self) -> &RoleChainParts {
        &self.0
    }
}

/// The endpoint of an STS call. The AWS profile or the profile can replace the region's own endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StsEndpoint {
    /// The source whose settings apply.
    pub source: SourceConfig,
    /// The region of STS.
    pub region: Region,
    /// The endpoint that the profile configures.
    pub sts: StsAddress,
}

/// One AssumeRole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleStep {
    /// The role to assume.
    pub role: RoleArn,
    /// The RoleSessionName, which CloudTrail shows.
    pub session_name: NameTemplate,
    /// The ExternalId, which the role's trust policy can require.
    pub external_id: Option<ExternalId>,
    /// The requested DurationSeconds.
    pub duration: Duration,
    /// The other parameters of the call.
    pub inputs: Option<Arc<StepInputs>>,
}

impl RoleChain {
    /// Returns the chain of a source and steps, with STS in `region`.
    #[must_use]
    pub fn new(source: SourceConfig, region: Region, steps: Vec<RoleStep>) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: None, region, steps }))
    }

    /// Returns the chain without a step for a source of unknown partition: it uses the partition `aws`.
    #[must_use]
    pub fn from_source(source: SourceConfig) -> Self {
        Self::new(source, Region::us_east_1(), Vec::new())
    }

    /// Returns the chain of the role that an AWS profile names in `role_arn`, with the settings of that AWS profile.
    #[must_use]
    pub fn from_aws_profile(profile: &str, source: SourceConfig, region: Region, step: RoleStep) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: Some(profile.into()), region, steps: vec![step] }))
    }

    /// Returns the chain without steps: the source's own credentials. It is equal for all regions of a partition, because
    /// the credentials are valid in each of them.
    #[must_use]
    pub fn base(&self) -> Self {
        Self::new(self.source.clone(), home_region(&self.region), Vec::new())
    }

    /// Returns the chain without steps and without the source's MFA.
    #[must_use]
    pub fn without_mfa(&self) -> Self {
        Self::new(SourceConfig::plain(self.source.kind.clone()), home_region(&self.region), Vec::new())
    }

    /// Returns whether the chain has no step.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns whether the AssumeRole call itself carries the MFA code. A session of GetSessionToken can assume a role for
    /// at most an hour, so a longer session needs the code in the AssumeRole call (STS, AssumeRole, DurationSeconds).
    #[must_use]
    pub fn mfa_in_assume_role(&self) -> bool {
        self.source.mfa.is_some() && matches!(self.steps.as_slice(), [only] if only.duration > MAX_CHAINED_DURATION)
    }

    /// Returns whether the user has to enter an MFA code for each session of the chain.
    #[must_use]
    pub fn needs_interactive_mfa(&self) -> bool {
        let is_typed = self.source.mfa.as_ref().is_some_and(|mfa| mfa.process.is_none());
        is_typed && (self.is_base() || self.mfa_in_assume_role())
    }

    /// Returns the chain without its last step.
    #[must_use]
    pub fn without_last_step(&self) -> Self {
        self.prefix(self.steps.len().saturating_sub(1))
    }

    /// Returns the endpoint of the chain's STS calls.
    #[must_use]
    pub fn endpoint(&self) -> StsEndpoint {
        let sts = self.steps.last().and_then(|step| step.inputs.as_ref()).map(|inputs| inputs.sts.clone());
        let settings =
            self.settings.as_deref().map(|profile| SourceConfig::plain(SourceKind::AwsProfile(profile.to_owned())));
        let source = settings.unwrap_or_else(|| self.source.clone());
        StsEndpoint { source, region: self.region.clone(), sts: sts.unwrap_or_default() }
    }

    /// Returns the chain, every chain that it builds on down to the source, and the source without MFA.
    pub fn prefixes(&self) -> impl Iterator<Item = Self> {
        let unprotected = self.source.mfa.is_some().then(|| self.without_mfa());
        let itself = self.is_base().then(|| self.clone());
        (0..=self.steps.len()).map(|steps| self.prefix(steps)).chain(unprotected).chain(itself)
    }

    fn prefix(&self, steps: usize) -> Self {
        if steps == 0 {
            return self.base();
        }
        if steps == self.steps.len() {
            return self.clone();
        }
        Self::new(self.source.clone(), self.region.clone(), self.steps.iter().take(steps).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.1.0 writes it into the snapshot of a restart.
    #[test]
    fn role_chain_of_earlier_snapshot_is_read_and_written_unchanged() {
        let text = concat!(
            r#"{"source":{"kind":{"AwsProfile":"work"},"mfa":null},"settings":null,"region":"eu-west-1","#,
            r#""hops":[{"role":"arn:aws:iam::111122223333:role/developers","session_name":"dev@laptop","#,
            r#""external_id":null,"duration":{"secs":3600,"nanos":0},"inputs":null}]}"#,
        );
        let chain: RoleChain = serde_json::from_str(text).unwrap();
        assert_eq!(chain.steps.len(), 1);
        assert_eq!(serde_json::to_string(&chain).unwrap(), text);
    }
}
