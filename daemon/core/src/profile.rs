//! A profile ready for use: names and templates resolved, steps in order.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ClusterName, ExternalId, ProfileName, Region, RoleArn, SourceName};
use serde::{Deserialize, Serialize};

use crate::config::inputs::{Inputs, StsAddress, Variant};
use crate::config::{Config, NameTemplate, Pin, ProfileConfig, SourceConfig, SourceKind, home_of};

/// AWS lets a session that was itself got by a role last no longer (STS, role chaining).
pub const CHAINED_MAX: Duration = Duration::from_hours(1);

/// Who runs the daemon, for the names of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The login name.
    pub user: String,
    /// The machine's name, without its domain.
    pub host: String,
}

/// What a profile means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// How its session is got.
    pub chain: RoleChain,
    /// The name of its source.
    pub source_name: SourceName,
    /// What the kubeconfig must say.
    pub pin: Option<Arc<Pin>>,
    /// The longest that a session is asked for.
    pub duration: Duration,
    /// For how long after its last use the session is renewed unasked.
    pub keep_warm: Duration,
    /// The endpoint of STS that its tokens name.
    pub variant: Variant,
}

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
pub struct Endpoint {
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
    pub inputs: Option<Arc<Inputs>>,
}

impl Profile {
    /// The profile of that name, if it is configured.
    #[must_use]
    pub fn find(config: &Config, name: &ProfileName, person: &LocalUser) -> Option<Self> {
        let profile = config.profiles.get(name)?;
        // Validation made sure of the source.
        let source = config.sources.get(&profile.source)?.clone();
        let session = NameTemplate::new(&profile.session_name, &person.user, &person.host, name.as_str());
        Some(Self {
            name: name.clone(),
            cluster: profile.cluster.clone(),
            chain: RoleChain::new(source, profile.region.clone(), steps(profile, &session)),
            source_name: profile.source.clone(),
            pin: profile.pin.clone(),
            duration: profile.duration,
            keep_warm: profile.keep_warm,
            variant: profile.inputs.as_ref().map(|inputs| inputs.variant).unwrap_or_default(),
        })
    }

    /// The longest that a session can be asked for, where that is less than what is configured.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.chain.steps.last().map(|step| step.duration).filter(|asked| *asked < self.duration)
    }
}

impl RoleChain {
    /// From that source, with STS of that region, through those steps.
    #[must_use]
    pub fn new(source: SourceConfig, region: Region, steps: Vec<RoleStep>) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: None, region, steps }))
    }

    /// A source alone, of which nobody knows the partition: the one that almost everybody is in.
    #[must_use]
    pub fn of_source(source: SourceConfig) -> Self {
        Self::new(source, Region::us_east_1(), Vec::new())
    }

    /// The role that an AWS profile names, assumed as that profile has it.
    #[must_use]
    pub fn of_aws_profile(profile: &str, source: SourceConfig, region: Region, step: RoleStep) -> Self {
        Self(Arc::new(RoleChainParts { source, settings: Some(profile.into()), region, steps: vec![step] }))
    }

    /// The source alone. What it gives is good in every region of its partition, so it is the same one for all of them.
    #[must_use]
    pub fn base(&self) -> Self {
        Self::new(self.source.clone(), home_of(&self.region), Vec::new())
    }

    /// The source alone, as it is without MFA.
    #[must_use]
    pub fn without_mfa(&self) -> Self {
        Self::new(SourceConfig::plain(self.source.kind.clone()), home_of(&self.region), Vec::new())
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
        self.source.mfa.is_some() && matches!(self.steps.as_slice(), [only] if only.duration > CHAINED_MAX)
    }

    /// Whether a person has to give a code for each of its sessions.
    #[must_use]
    pub fn needs_interactive_mfa(&self) -> bool {
        let by_hand = self.source.mfa.as_ref().is_some_and(|mfa| mfa.process.is_none());
        by_hand && (self.is_base() || self.mfa_in_assume_role())
    }

    /// The chain up to, and without, its last step.
    #[must_use]
    pub fn without_last(&self) -> Self {
        self.prefix(self.steps.len().saturating_sub(1))
    }

    /// Where its calls go.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let sts = self.steps.last().and_then(|step| step.inputs.as_ref()).map(|inputs| inputs.sts.clone());
        let settings =
            self.settings.as_deref().map(|profile| SourceConfig::plain(SourceKind::AwsProfile(profile.to_owned())));
        let source = settings.unwrap_or_else(|| self.source.clone());
        Endpoint { source, region: self.region.clone(), sts: sts.unwrap_or_default() }
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

/// Every step after the first is chained and so limited; those in between last as long as AWS allows them to.
fn steps(profile: &ProfileConfig, session_name: &NameTemplate) -> Vec<RoleStep> {
    let last = profile.roles.len().saturating_sub(1);
    let step = |(index, role): (usize, &RoleArn)| RoleStep {
        role: role.clone(),
        session_name: session_name.clone(),
        external_id: profile.external_id.clone().filter(|_| index == last),
        duration: if last == 0 { profile.duration } else { profile.duration.min(CHAINED_MAX) },
        inputs: profile.inputs.as_ref().and_then(|inputs| inputs.of(index)).cloned(),
    };
    profile.roles.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn chained_hops_ask_for_no_more_than_an_hour() {
        let text = r#"
            [sources.work]
            aws_profile = "work"
            [profiles.prod]
            cluster = "prod"
            region = "eu-west-1"
            source = "work"
            role_arn = "arn:aws:iam::111122223333:role/developers"
            external_id = "secret-handshake"
            duration = "8h"
        "#;
        let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        let find = |text: &str| {
            let config = Config::parse(Path::new("config.toml"), text).unwrap();
            Profile::find(&config, &"prod".parse().unwrap(), &person).unwrap()
        };
        assert_eq!(find(text).chain.steps[0].duration, Duration::from_hours(8));
        let chained = find(&format!("{text}\nvia = [\"arn:aws:iam::999988887777:role/hub\"]"));
        let lengths: Vec<_> = chained.chain.steps.iter().map(|step| step.duration).collect();
        assert_eq!(lengths, [CHAINED_MAX, CHAINED_MAX]);
        assert_eq!((find(text).limit(), chained.limit()), (None, Some(CHAINED_MAX)));
        assert_eq!(chained.chain.steps[0].external_id, None);
        assert!(chained.chain.steps[1].external_id.is_some());
        assert_ne!(chained.chain, find(text).chain);
    }
}
