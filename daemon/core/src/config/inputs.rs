//! What AssumeRole is given beside the role, the session's name, the external id and the duration. Few profiles have any of
//! it, and those that do often have the same, so equal ones share it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall_protocol::{EndpointUrl, PolicyArn, Region, SourceIdentity, TagKey, TagValue};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::partition;

/// STS's bounds (AssumeRole).
const MAX_TAGS: usize = 50;
const MAX_POLICY_ARNS: usize = 10;
const MAX_POLICY: usize = 2048;
/// The partitions whose STS has FIPS endpoints, and those where it has dual-stack ones (endpoint rules of the SDK).
const FIPS: [&str; 2] = ["aws", "aws-us-gov"];
const DUAL_STACK: [&str; 4] = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"];

/// What one AssumeRole is given, and where it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepInputs {
    /// Who is behind the session.
    pub source_identity: Option<SourceIdentity>,
    /// Its tags.
    pub tags: BTreeMap<TagKey, TagValue>,
    /// Those of them that stay with the roles that are assumed from it.
    pub transitive_tags: BTreeSet<TagKey>,
    /// Managed policies that bound what it may.
    pub policy_arns: Vec<PolicyArn>,
    /// An inline policy that does so too: JSON without spaces.
    pub policy: Option<String>,
    /// Where STS is called.
    pub sts: StsAddress,
}

/// Where STS is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StsAddress {
    /// An address that stands above every other.
    pub url: Option<EndpointUrl>,
    /// Which of the region's own.
    pub variant: EndpointVariant,
}

/// Which of a region's endpoints of STS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointVariant {
    /// The one with validated cryptography (FIPS 140).
    pub fips: bool,
    /// The one that has an IPv6 address too.
    pub dual_stack: bool,
}

/// The inputs of each step of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputsPerStep {
    steps: Vec<Option<Arc<StepInputs>>>,
    /// The endpoint that tokens name.
    pub variant: EndpointVariant,
}

impl InputsPerStep {
    /// Those of the step of that index.
    #[must_use]
    pub fn of(&self, index: usize) -> Option<&Arc<StepInputs>> {
        self.steps.get(index)?.as_ref()
    }
}

/// The keys of `[defaults]` and of a profile that make these.
#[derive(Clone, Default)]
pub(super) struct RawInputs {
    pub(super) source_identity: Option<SourceIdentity>,
    pub(super) tags: Option<BTreeMap<TagKey, TagValue>>,
    pub(super) transitive_tags: Option<BTreeSet<TagKey>>,
    pub(super) policy_arns: Option<Vec<PolicyArn>>,
    pub(super) policy: Option<Policy>,
    pub(super) sts_endpoint: Option<EndpointUrl>,
    pub(super) fips: Option<bool>,
    pub(super) dual_stack: Option<bool>,
}

/// An inline policy, without spaces.
#[derive(Clone)]
pub(super) struct Policy(String);

impl RawInputs {
    /// Checks what no single value can tell, fills in the defaults and deals the whole out to that many steps. `None` is what
    /// most profiles have. An error is a key and what is wrong with it.
    pub(super) fn valid(
        self,
        defaults: &Self,
        steps: usize,
        region: &Region,
    ) -> Result<Option<InputsPerStep>, (&'static str, String)> {
        if steps == 0 {
            self.check_needs_role()?;
        }
        let inputs = self.or(defaults);
        let partition = partition(region);
        inputs.check_variant(partition)?;
        check_tags(&inputs)?;
        if inputs.policy_arns.len() > MAX_POLICY_ARNS {
            return Err(("policy_arns", format!("has {}, {MAX_POLICY_ARNS} are possible", inputs.policy_arns.len())));
        }
        if let Some(arn) = inputs.policy_arns.iter().find(|arn| arn.partition() != partition) {
            let message = format!("is of partition {}, the region {region} is not", arn.partition());
            return Err(("policy_arns", message));
        }
        if inputs == StepInputs::default() {
            return Ok(None);
        }
        let variant = inputs.sts.variant;
        let deal =
            |index| Some(inputs.of_hop(index, steps)).filter(|inputs| *inputs != StepInputs::default()).map(Arc::new);
        Ok(Some(InputsPerStep { steps: (0..steps).map(deal).collect(), variant }))
    }

    fn check_needs_role(&self) -> Result<(), (&'static str, String)> {
        let given = [
            ("source_identity", self.source_identity.is_some()),
            ("tags", self.tags.is_some()),
            ("transitive_tags", self.transitive_tags.is_some()),
            ("policy_arns", self.policy_arns.is_some()),
            ("policy", self.policy.is_some()),
            ("sts_endpoint", self.sts_endpoint.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => Err((key, "is given to nobody without role_arn".to_owned())),
            None => Ok(()),
        }
    }

    /// What is not said here is as the defaults say.
    fn or(self, defaults: &Self) -> StepInputs {
        let defaults = defaults.clone();
        StepInputs {
            source_identity: self.source_identity.or(defaults.source_identity),
            tags: self.tags.or(defaults.tags).unwrap_or_default(),
            transitive_tags: self.transitive_tags.or(defaults.transitive_tags).unwrap_or_default(),
            policy_arns: self.policy_arns.or(defaults.policy_arns).unwrap_or_default(),
            policy: self.policy.or(defaults.policy).map(|policy| policy.0),
            sts: StsAddress {
                url: self.sts_endpoint.or(defaults.sts_endpoint),
                variant: EndpointVariant {
                    fips: self.fips.or(defaults.fips).unwrap_or_default(),
                    dual_stack: self.dual_stack.or(defaults.dual_stack).unwrap_or_default(),
                },
            },
        }
    }
}

impl StepInputs {
    fn check_variant(&self, partition: &str) -> Result<(), (&'static str, String)> {
        let EndpointVariant { fips, dual_stack } = self.sts.variant;
        if fips && !FIPS.contains(&partition) {
            return Err(("fips", format!("STS of partition {partition} has no FIPS endpoints")));
        }
        if dual_stack && !DUAL_STACK.contains(&partition) {
            return Err(("dual_stack", format!("STS of partition {partition} has no dual-stack endpoints")));
        }
        Ok(())
    }

    /// What one step of several is given.
    ///
    /// A source identity and transitive tags belong to the first: STS hands both on to every session that is assumed from
    /// it, lets nobody change them on the way, and a role in between may ask for them. Everything else is for the session
    /// that signs, the last: a policy on the way would have to allow the next step, and other tags would be lost there.
    fn of_hop(&self, index: usize, steps: usize) -> Self {
        let (is_first, is_last) = (index == 0, index + 1 == steps);
        let wanted = |key: &TagKey| if self.transitive_tags.contains(key) { is_first } else { is_last };
        Self {
            source_identity: self.source_identity.clone().filter(|_| is_first),
            tags: self
                .tags
                .iter()
                .filter(|(key, _)| wanted(key))
                .map(|(key, tag)| (key.clone(), tag.clone()))
                .collect(),
            transitive_tags: if is_first { self.transitive_tags.clone() } else { BTreeSet::new() },
            policy_arns: if is_last { self.policy_arns.clone() } else { Vec::new() },
            policy: self.policy.clone().filter(|_| is_last),
            sts: self.sts.clone(),
        }
    }
}

fn check_tags(inputs: &StepInputs) -> Result<(), (&'static str, String)> {
    if inputs.tags.len() > MAX_TAGS {
        return Err(("tags", format!("has {}, {MAX_TAGS} are possible", inputs.tags.len())));
    }
    // STS keeps their case, and takes two that differ in nothing else for the same.
    let mut seen = BTreeSet::new();
    if let Some(twin) = inputs.tags.keys().find(|key| !seen.insert(key.as_str().to_lowercase())) {
        return Err(("tags", format!("has \"{twin}\" twice: case makes no difference")));
    }
    match inputs.transitive_tags.iter().find(|key| !inputs.tags.contains_key(key)) {
        Some(key) => Err(("transitive_tags", format!("names \"{key}\", which is none of the tags"))),
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The parser's message may quote the text.
        let policy: serde_json::Value =
            serde_json::from_str(&text).map_err(|_| D::Error::custom("must be a policy in JSON"))?;
        if policy.get("Statement").is_none() {
            return Err(D::Error::custom("must be a policy: a JSON object with a Statement"));
        }
        let policy = policy.to_string();
        if policy.chars().any(|c| c > '\u{ff}') {
            return Err(D::Error::custom("may hold only characters up to U+00FF"));
        }
        match policy.chars().count() {
            length if length > MAX_POLICY => {
                Err(D::Error::custom(format!("has {length} characters without spaces, {MAX_POLICY} are possible")))
            }
            _ => Ok(Self(policy)),
        }
    }
}
