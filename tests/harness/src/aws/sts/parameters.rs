//! Parameters of a role session, validated as STS does.
//!
//! Source of the texts: "Passing session tags in AWS STS" in the IAM User Guide, and responses quoted in issues.

use super::super::error::ApiError;
use super::super::principal::SessionTags;
use super::super::request::ParsedRequest;
use super::validate::{NAME_PATTERN, Validator, members};
use crate::arn::Arn;

/// Space for session tags and policies in a token, in characters. AWS does not publish its limit.
const PACKED_LIMIT: usize = 4096;
/// Default duration of a session.
const DEFAULT_SECONDS: u64 = 3600;

/// The parameters that AssumeRole and AssumeRoleWithWebIdentity share.
pub(crate) struct Wanted<'a> {
    pub(crate) role_arn: &'a str,
    pub(crate) session_name: &'a str,
    pub(crate) seconds: u64,
    policy: &'a str,
    policy_arns: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a ParsedRequest, check: &mut Validator<'a>) -> Self {
        let role_arn = check.required("RoleArn");
        let session_name = check.required("RoleSessionName");
        if request.param("RoleArn").is_some() {
            check.length("roleArn", role_arn, 20, 2048);
        }
        if request.param("RoleSessionName").is_some() {
            check.pattern("roleSessionName", session_name, NAME_PATTERN);
            check.length("roleSessionName", session_name, 2, 64);
        }
        let seconds = check.number("DurationSeconds", DEFAULT_SECONDS, 900, 43_200);
        let policy_arns = members(request, "PolicyArns", ".arn");
        check.count("policyArns", policy_arns.len(), 10);
        for (number, arn) in policy_arns.iter().enumerate() {
            check.length(&format!("policyArns.{}.member.arn", number + 1), arn, 20, 2048);
        }
        let policy = request.param("Policy").unwrap_or_default();
        check.length("policy", policy, usize::from(request.param("Policy").is_some()), 2048);
        Self { role_arn, session_name, seconds, policy, policy_arns }
    }

    /// Checks what STS checks after the constraints of each parameter.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if Arn::parse(self.role_arn).is_none_or(|arn| arn.service != "iam" || arn.kind() != "role") {
            return Err(ApiError::validation(format!("{} is invalid", self.role_arn)));
        }
        let is_policy = |arn: &&str| Arn::parse(arn).is_some_and(|arn| arn.service == "iam" && arn.kind() == "policy");
        if let Some(arn) = self.policy_arns.iter().find(|arn| !is_policy(arn)) {
            return Err(ApiError::validation(format!("{arn} is invalid")));
        }
        let malformed = |message: &str| Err(ApiError::new(400, "MalformedPolicyDocument", message));
        match serde_json::from_str::<serde_json::Value>(self.policy) {
            _ if self.policy.is_empty() => Ok(()),
            Err(_) => malformed("The policy is not in the valid JSON format."),
            Ok(policy) if policy.get("Statement").is_none() => malformed("Syntax errors in policy."),
            Ok(_) => Ok(()),
        }
    }

    /// Returns the space that the policies and these tags need in the token, in characters.
    pub(crate) fn packed(&self, tags: &SessionTags) -> Result<usize, ApiError> {
        let pairs = tags.all.iter().map(|(key, value)| key.len() + value.len() + 4);
        let others = tags.transitive.iter().map(String::as_str).chain(self.policy_arns.iter().copied());
        let packed = self.policy.len() + pairs.sum::<usize>() + others.map(|text| text.len() + 2).sum::<usize>();
        if packed > PACKED_LIMIT {
            let message = format!("Packed size of session tags consumes {}% of allotted space.", percent(packed));
            return Err(ApiError::new(400, "PackedPolicyTooLarge", message));
        }
        Ok(packed)
    }
}

/// Returns `PackedPolicySize`.
pub(crate) fn percent(packed: usize) -> usize {
    packed * 100 / PACKED_LIMIT
}

/// Tags of a request: up to 50 tags and 50 transitive keys.
pub(crate) struct Tags<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    transitive: Vec<&'a str>,
}

impl<'a> Tags<'a> {
    pub(crate) fn read(request: &'a ParsedRequest, check: &mut Validator<'_>) -> Self {
        let keys = members(request, "Tags", ".Key");
        let values = members(request, "Tags", ".Value");
        let transitive = members(request, "TransitiveTagKeys", "");
        check.count("tags", keys.len(), 50);
        check.count("transitiveTagKeys", transitive.len(), 50);
        for (number, key) in keys.iter().enumerate() {
            let at = format!("tags.{}.member.key", number + 1);
            check.length(&at, key, 1, 128);
            check.tag(&at, key);
        }
        for (number, value) in values.iter().enumerate() {
            let at = format!("tags.{}.member.value", number + 1);
            check.length(&at, value, 0, 256);
            check.tag(&at, value);
        }
        for number in values.len()..keys.len() {
            check.missing(&format!("tags.{}.member.value", number + 1));
        }
        for (number, key) in transitive.iter().enumerate() {
            check.length(&format!("transitiveTagKeys.{}.member", number + 1), key, 1, 128);
        }
        Self { pairs: keys.into_iter().zip(values).collect(), transitive }
    }

    /// Returns the tags of the request.
    pub(crate) fn requested(&self) -> Result<SessionTags, ApiError> {
        let mut seen = Vec::new();
        for (key, _) in &self.pairs {
            let folded = key.to_lowercase();
            if folded.starts_with("aws:") {
                return invalid(&format!("Tag keys that begin with aws: are reserved for AWS: {key}"));
            }
            if seen.contains(&folded) {
                return invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
            }
            seen.push(folded);
        }
        if self.transitive.iter().any(|key| !seen.contains(&key.to_lowercase())) {
            return invalid("The specified transitive tag key must be included in the requested tags.");
        }
        let transitive = |key: &str| self.transitive.iter().any(|wanted| wanted.eq_ignore_ascii_case(key));
        Ok(SessionTags {
            all: self.pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            transitive: self
                .pairs
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| transitive(key))
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// Returns the tags of the new session: those of the request and the inherited ones, which a request cannot change.
pub(crate) fn combined(requested: &SessionTags, inherited: SessionTags) -> Result<SessionTags, ApiError> {
    let mut tags = inherited;
    let known = |key: &String| tags.all.keys().any(|known| known.eq_ignore_ascii_case(key));
    if requested.all.keys().any(known) {
        return invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key \
             from the calling session.",
        );
    }
    tags.all.extend(requested.all.clone());
    tags.transitive.extend(requested.transitive.clone());
    Ok(tags)
}

fn invalid<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError::new(400, "InvalidParameterValue", message))
}
