//! The further parameters of AssumeRole: source identity, tags, policies and the STS endpoint. Few profiles have any. Equal
//! ones share one allocation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall_protocol::{EndpointUrl, PolicyArn, Region, SourceIdentity, TagKey, TagValue};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::partition::partition;

/// The limits of STS (AssumeRole).
const MAX_TAGS: usize = 50;
const MAX_POLICY_ARNS: usize = 10;
const MAX_POLICY_CHARS: usize = 2048;
/// The partitions whose STS has FIPS endpoints (endpoint rules of the SDK).
const FIPS_PARTITIONS: [&str; 2] = ["aws", "aws-us-gov"];
/// The partitions whose STS has dual-stack endpoints (endpoint rules of the SDK).
const DUAL_STACK_PARTITIONS: [&str; 4] = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"];

/// The further parameters of one AssumeRole, and its endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepInputs {
    /// The SourceIdentity, which names the user behind the session.
    pub source_identity: Option<SourceIdentity>,
    /// The session tags.
    pub tags: BTreeMap<TagKey, TagValue>,
    /// The keys of the tags that sessions of chained roles keep.
    pub transitive_tags: BTreeSet<TagKey>,
    /// The managed session policies, which restrict the permissions.
    pub policy_arns: Vec<PolicyArn>,
    /// The inline session policy: JSON without whitespace.
    pub policy: Option<String>,
    /// The STS endpoint.
    pub sts: StsAddress,
}

/// The STS endpoint of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StsAddress {
    /// A URL that replaces every other endpoint.
    pub url: Option<EndpointUrl>,
    /// The variant of the region's endpoint.
    pub variant: EndpointVariant,
}

/// A variant of a region's STS endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointVariant {
    /// The endpoint with validated cryptography (FIPS 140).
    pub fips: bool,
    /// The endpoint with an IPv6 address in addition.
    pub dual_stack: bool,
}

/// The further parameters of all steps of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputsPerStep {
    steps: Vec<Option<Arc<StepInputs>>>,
    /// The variant of the STS endpoint in tokens.
    pub variant: EndpointVariant,
}

impl InputsPerStep {
    /// Returns the parameters of the step with this index, if it has any.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&Arc<StepInputs>> {
        self.steps.get(index)?.as_ref()
    }
}

/// The keys of `[defaults]` and of a profile for further parameters.
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

/// An inline policy without whitespace.
#[derive(Clone)]
pub(super) struct Policy(String);

impl RawInputs {
    /// Checks the rules that involve several keys, fills in the defaults and assigns the parameters to the steps. Returns
    /// `None` if there are none, as for most profiles. Errors with a key and a message.
    pub(super) fn validate(
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
            return Err((
                "policy_arns",
                format!("has {} entries, the limit is {MAX_POLICY_ARNS}", inputs.policy_arns.len()),
            ));
        }
        if let Some(arn) = inputs.policy_arns.iter().find(|arn| arn.partition() != partition) {
            let message = format!("is in partition {}, but the region {region} is not", arn.partition());
            return Err(("policy_arns", message));
        }
        if inputs == StepInputs::default() {
            return Ok(None);
        }
        let variant = inputs.sts.variant;
        let for_step =
            |index| Some(inputs.for_step(index, steps)).filter(|inputs| *inputs != StepInputs::default()).map(Arc::new);
        Ok(Some(InputsPerStep { steps: (0..steps).map(for_step).collect(), variant }))
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
            Some((key, _)) => Err((key, "has no effect without role_arn".to_owned())),
            None => Ok(()),
        }
    }

    /// Fills in the defaults.
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
        if fips && !FIPS_PARTITIONS.contains(&partition) {
            return Err(("fips", format!("STS of partition {partition} has no FIPS endpoints")));
        }
        if dual_stack && !DUAL_STACK_PARTITIONS.contains(&partition) {
            return Err(("dual_stack", format!("STS of partition {partition} has no dual-stack endpoints")));
        }
        Ok(())
    }

    /// Returns the parameters of one step of several.
    ///
    /// The first step gets the source identity and the transitive tags: STS passes both on to the sessions of all later
    /// steps, forbids changing them, and the trust policy of a role in between can require them. The last step gets
    /// everything else, because its session signs the token: an earlier policy would have to allow the next step, and
    /// other tags do not reach a later session.
    fn for_step(&self, index: usize, steps: usize) -> Self {
        let (is_first, is_last) = (index == 0, index + 1 == steps);
        let has_tag = |key: &TagKey| if self.transitive_tags.contains(key) { is_first } else { is_last };
        Self {
            source_identity: self.source_identity.clone().filter(|_| is_first),
            tags: self
                .tags
                .iter()
                .filter(|(key, _)| has_tag(key))
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
        return Err(("tags", format!("has {} entries, the limit is {MAX_TAGS}", inputs.tags.len())));
    }
    // STS keeps the case of a key but compares keys without it.
    let mut seen = BTreeSet::new();
    if let Some(twin) = inputs.tags.keys().find(|key| !seen.insert(key.as_str().to_lowercase())) {
        return Err(("tags", format!("has \"{twin}\" twice; case is ignored")));
    }
    match inputs.transitive_tags.iter().find(|key| !inputs.tags.contains_key(key)) {
        Some(key) => Err(("transitive_tags", format!("has \"{key}\", which is not a key of tags"))),
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The parser's message is dropped because it can quote the text.
        let policy: serde_json::Value =
            serde_json::from_str(&text).map_err(|_| D::Error::custom("must be a policy in JSON"))?;
        if policy.get("Statement").is_none() {
            return Err(D::Error::custom("must be a policy: a JSON object with a Statement"));
        }
        let policy = policy.to_string();
        if policy.chars().any(|c| c > '\u{ff}') {
            return Err(D::Error::custom("must contain only characters up to U+00FF"));
        }
        match policy.chars().count() {
            length if length > MAX_POLICY_CHARS => Err(D::Error::custom(format!(
                "has {length} characters without whitespace, the limit is {MAX_POLICY_CHARS}"
            ))),
            _ => Ok(Self(policy)),
        }
    }
}
