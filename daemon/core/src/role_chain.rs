//! The roles from a source to a session.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ExternalId, Region, RoleArn};
use serde::{Deserialize, Serialize};

use crate::config::inputs::{StepInputs, StsAddress};
use crate::config::{NameTemplate, SourceConfig, SourceKind, home_region};

/// AWS lets a session that was itself got by a role last no longer (STS, role chaining).
pub const MAX_CHAINED_DURATION: Duration = Duration::from_hours(1);

/// How a session is got: from a source, through steps. Every input of every call is in here, so two equal chains have
/// equal sessions, and a changed configuration can never be served an old one.
///
/// Clones are the same one, since a chain is the key of much.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleChain(Arc<RoleChainParts>);

/// What a [`RoleChain`] is made of.
#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleChainParts {
    /// Where the base credentials come from.
    pub source: SourceConfig,
    /// The AWS profile whose settings (`endpoint_url`, `services`) the last call goes by, where that is not the source's.
    pub settings: Option<Box<str>>,
    /// The region whose STS is called.
    pub region: Region,
    /// What is assumed, in order.
    pub steps: Vec<RoleStep>,
}

impl Deref for RoleChain {
    type Target = RoleChainParts;

    fn deref(&self) -> &RoleChainParts {
        &self.0
    }
}

/// Where STS is called: the AWS profile, or ours, may name another address than the region's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StsEndpoint {
    /// Whose credentials it is called with.
    pub source: SourceConfig,
    /// The region.
    pub region: Region,
    /// What our profile says of it.
    pub sts: StsAddress,
}

/// One AssumeRole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoleStep {
    /// The role.
    pub role: RoleArn,
    /// What CloudTrail shows.
    pub session_name: NameTemplate,
    /// What the role's trust policy may ask for.
    pub external_id: Option<ExternalId>,
    /// What is asked for.
    pub duration: Duration,
    /// What else is sent.
    pub inputs: Option<Arc<StepInputs>>,
}

impl RoleChain {
    /// From that source, with STS of that region, through those steps.
    #[must_use]
    pub fn new(source: SourceConfig, region: Region, steps: Vec<RoleStep>) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: None, region, steps }))
    }

    /// A source alone, of which nobody knows the partition: the one that almost everybody is in.
    #[must_use]
    pub fn from_source(source: SourceConfig) -> Self {
        Self::new(source, Region::us_east_1(), Vec::new())
    }

    /// The role that an AWS profile names, assumed as that profile has it.
    #[must_use]
    pub fn from_aws_profile(profile: &str, source: SourceConfig, region: Region, step: RoleStep) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: Some(profile.into()), region, steps: vec![step] }))
    }

    /// The source alone. What it gives is good in every region of its partition, so it is the same one for all of them.
    #[must_use]
    pub fn base(&self) -> Self {
        Self::new(self.source.clone(), home_region(&self.region), Vec::new())
    }

    /// The source alone, as it is without MFA.
    #[must_use]
    pub fn without_mfa(&self) -> Self {
        Self::new(SourceConfig::plain(self.source.kind.clone()), home_region(&self.region), Vec::new())
    }

    /// Whether it is the source alone.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether its role is assumed with a code of an MFA device in the call itself. A session that was got with a code is
    /// as a role's own for AWS and lets a role be assumed for an hour at most, so where more is wanted there is no other
    /// way (STS, AssumeRole, DurationSeconds).
    #[must_use]
    pub fn mfa_in_assume_role(&self) -> bool {
        self.source.mfa.is_some() && matches!(self.steps.as_slice(), [only] if only.duration > MAX_CHAINED_DURATION)
    }

    /// Whether a person has to give a code for each of its sessions.
    #[must_use]
    pub fn needs_interactive_mfa(&self) -> bool {
        let by_hand = self.source.mfa.as_ref().is_some_and(|mfa| mfa.process.is_none());
        by_hand && (self.is_base() || self.mfa_in_assume_role())
    }

    /// The chain up to, and without, its last step.
    #[must_use]
    pub fn without_last_step(&self) -> Self {
        self.prefix(self.steps.len().saturating_sub(1))
    }

    /// Where its calls go.
    #[must_use]
    pub fn endpoint(&self) -> StsEndpoint {
        let sts = self.steps.last().and_then(|step| step.inputs.as_ref()).map(|inputs| inputs.sts.clone());
        let settings =
            self.settings.as_deref().map(|profile| SourceConfig::plain(SourceKind::AwsProfile(profile.to_owned())));
        let source = settings.unwrap_or_else(|| self.source.clone());
        StsEndpoint { source, region: self.region.clone(), sts: sts.unwrap_or_default() }
    }

    /// The chain and everything that it builds on, down to the source, and what that is without MFA.
    pub fn prefixes(&self) -> impl Iterator<Item = Self> {
        let keys = self.source.mfa.is_some().then(|| self.without_mfa());
        let itself = self.is_base().then(|| self.clone());
        (0..=self.steps.len()).map(|steps| self.prefix(steps)).chain(keys).chain(itself)
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
