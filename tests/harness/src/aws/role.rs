//! Roles and their trust policies.

use std::collections::BTreeMap;
use std::time::Duration;

use super::denied_by::DeniedBy;
use super::principal::{Principal, SessionTags};
use crate::arn::Arn;
use crate::random::iam_id;

/// A role with defaults that a test can change.
///
/// As in IAM, a new role trusts no principal, and its trust policy allows neither `sts:TagSession` nor
/// `sts:SetSourceIdentity`.
#[derive(Clone, Debug)]
pub struct Role {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(super) trusted: Vec<String>,
    /// Principals of a Deny statement.
    pub(super) distrusted: Vec<String>,
    /// Subjects of trusted web identities, as patterns.
    pub(super) subjects: Vec<String>,
    pub(super) conditions: Conditions,
    pub(crate) max_session: Duration,
    pub(crate) may_tag: bool,
    pub(crate) may_set_source_identity: bool,
    pub(crate) token_length: Option<usize>,
    /// Denied actions, with the policy that AWS names.
    pub(crate) denied: BTreeMap<String, Option<DeniedBy>>,
}

/// Conditions of a trust policy; all must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) external_id: Option<String>,
    pub(super) mfa: bool,
    pub(super) mfa_within: Option<Duration>,
    pub(super) source_identity: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) source_ip: Option<String>,
    pub(super) request_tags: BTreeMap<String, String>,
    pub(super) principal_tags: BTreeMap<String, String>,
}

/// The facts that a trust policy decides on.
pub(crate) struct TrustQuery<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) session_name: &'a str,
    pub(crate) external_id: Option<&'a str>,
    /// Source identity of the new session, inherited or requested.
    pub(crate) source_identity: Option<&'a str>,
    /// Tags of the request.
    pub(crate) tags: &'a SessionTags,
    /// Age of the MFA code of this call, or of the caller's GetSessionToken.
    pub(crate) mfa_age: Option<Duration>,
}

impl Role {
    /// A role with this ARN, which may have a path. No principal may assume it.
    pub fn new(arn: &str) -> Self {
        let parsed = Arn::parse(arn).unwrap_or_else(|| panic!("{arn} is not an ARN"));
        assert_eq!((parsed.service.as_str(), parsed.kind()), ("iam", "role"), "{arn} is not a role's ARN");
        Self {
            arn: arn.to_owned(),
            id: iam_id("AROA", 17),
            trusted: Vec::new(),
            distrusted: Vec::new(),
            subjects: Vec::new(),
            conditions: Conditions::default(),
            // IAM's default.
            max_session: Duration::from_hours(1),
            may_tag: false,
            may_set_source_identity: false,
            token_length: None,
            denied: BTreeMap::new(),
        }
    }

    /// Trusts a principal: a user's ARN, a role's ARN, an assumed-role ARN, an account root, or `*`.
    #[must_use]
    pub fn trusts(mut self, principal: &str) -> Self {
        self.trusted.push(principal.to_owned());
        self
    }

    /// Denies the role to a principal of the same forms, whatever the role trusts.
    #[must_use]
    pub fn distrusts(mut self, principal: &str) -> Self {
        self.distrusted.push(principal.to_owned());
        self
    }

    /// Trusts web identities whose subject matches this pattern (`*` and `?` are wildcards).
    #[must_use]
    pub fn trusts_web_identity(mut self, subject: &str) -> Self {
        self.subjects.push(subject.to_owned());
        self
    }

    /// Sets `MaxSessionDuration`: 1 to 12 hours; 1 hour by default.
    #[must_use]
    pub fn max_session_duration(self, max_session: Duration) -> Self {
        Self { max_session, ..self }
    }

    /// Allows `sts:TagSession` in the trust policy.
    #[must_use]
    pub fn allows_tag_session(self) -> Self {
        Self { may_tag: true, ..self }
    }

    /// Allows `sts:SetSourceIdentity` in the trust policy.
    #[must_use]
    pub fn allows_source_identity(self) -> Self {
        Self { may_set_source_identity: true, ..self }
    }

    /// Sets the length of session tokens, about 700 characters by default. Above about 2,480, an EKS token is too
    /// long.
    #[must_use]
    pub fn session_token_length(self, characters: usize) -> Self {
        Self { token_length: Some(characters), ..self }
    }

    /// Denies an action in the role's own policy: `eks:DescribeCluster`, `sts:AssumeRole`. All others are allowed.
    #[must_use]
    pub fn denies(mut self, action: &str) -> Self {
        self.denied.insert(action.to_owned(), None);
        self
    }
}

/// Conditions of the trust policy.
impl Role {
    /// Requires this `sts:ExternalId`.
    #[must_use]
    pub fn external_id(mut self, id: &str) -> Self {
        self.conditions.external_id = Some(id.to_owned());
        self
    }

    /// Requires `aws:MultiFactorAuthPresent`: an MFA code with the call, or with the caller's GetSessionToken.
    #[must_use]
    pub fn requires_mfa(mut self) -> Self {
        self.conditions.mfa = true;
        self
    }

    /// Requires `aws:MultiFactorAuthAge` below this.
    #[must_use]
    pub fn requires_mfa_within(mut self, age: Duration) -> Self {
        self.conditions.mfa_within = Some(age);
        self
    }

    /// Requires this `sts:SourceIdentity`, and allows to set it.
    #[must_use]
    pub fn requires_source_identity(mut self, identity: &str) -> Self {
        self.conditions.source_identity = Some(identity.to_owned());
        self.allows_source_identity()
    }

    /// Requires an `sts:RoleSessionName` that matches this pattern (`*` and `?` are wildcards).
    #[must_use]
    pub fn requires_session_name_like(mut self, pattern: &str) -> Self {
        self.conditions.session_name = Some(pattern.to_owned());
        self
    }

    /// Requires calls from this network (`aws:SourceIp`). Calls of tests come from `127.0.0.1/32`.
    #[must_use]
    pub fn requires_source_ip(mut self, network: &str) -> Self {
        self.conditions.source_ip = Some(network.to_owned());
        self
    }

    /// Requires this session tag in the request (`aws:RequestTag`), and allows tags.
    #[must_use]
    pub fn requires_tag(mut self, key: &str, value: &str) -> Self {
        self.conditions.request_tags.insert(key.to_owned(), value.to_owned());
        self.allows_tag_session()
    }

    /// Requires this tag on the caller's own session (`aws:PrincipalTag`).
    #[must_use]
    pub fn requires_principal_tag(mut self, key: &str, value: &str) -> Self {
        self.conditions.principal_tags.insert(key.to_owned(), value.to_owned());
        self
    }
}

impl Role {
    /// Returns whether the trust policy allows this `sts:AssumeRole`.
    pub(crate) fn allows(&self, query: &TrustQuery<'_>) -> bool {
        !self.denies_trust(query.principal) && names(&self.trusted, query.principal) && self.conditions.hold(query)
    }

    /// Returns whether a Deny statement of the trust policy applies to the principal.
    pub(crate) fn denies_trust(&self, principal: &Principal) -> bool {
        names(&self.distrusted, principal)
    }

    /// Returns whether the trust policy allows this `sts:AssumeRoleWithWebIdentity`.
    pub(crate) fn allows_web_identity(&self, subject: &str, session_name: &str) -> bool {
        self.subjects.iter().any(|pattern| like(pattern, subject))
            && self.conditions.session_name.as_deref().is_none_or(|pattern| like(pattern, session_name))
    }
}

/// Returns whether one of the principals is this one, its role or its account.
fn names(principals: &[String], principal: &Principal) -> bool {
    let root = Arn::parse(&principal.arn).expect("the table holds ARNs").root();
    let names = ["*", &principal.arn, principal.identity(), &root];
    principals.iter().any(|named| names.contains(&named.as_str()))
}

impl Conditions {
    fn hold(&self, query: &TrustQuery<'_>) -> bool {
        let same = |wanted: &Option<String>, given: Option<&str>| wanted.is_none() || wanted.as_deref() == given;
        let within = |wanted: &BTreeMap<String, String>, given: &SessionTags| {
            wanted.iter().all(|(key, value)| given.all.get(key) == Some(value))
        };
        same(&self.external_id, query.external_id)
            && same(&self.source_identity, query.source_identity)
            && (!self.mfa || query.mfa_age.is_some())
            && self.mfa_within.is_none_or(|most| query.mfa_age.is_some_and(|age| age < most))
            && self.session_name.as_deref().is_none_or(|pattern| like(pattern, query.session_name))
            && self.source_ip.as_deref().is_none_or(|network| network == "127.0.0.1/32")
            && within(&self.request_tags, query.tags)
            && within(&self.principal_tags, &query.principal.tags)
    }
}

/// Matches as `StringLike`: `*` is any text, `?` any one character.
fn like(pattern: &str, text: &str) -> bool {
    let mut after = text.chars();
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            like(&pattern[1..], text)
                || text.chars().next().is_some_and(|first| like(pattern, &text[first.len_utf8()..]))
        }
        Some(wanted) => {
            let first = after.next();
            (first == Some(wanted) || wanted == '?' && first.is_some())
                && like(&pattern[wanted.len_utf8()..], after.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn string_like_wildcards_match() {
        for (pattern, text, expected) in [
            ("dev-*", "dev-laptop", true),
            ("dev-*", "dev", false),
            ("*@example.com", "ä@example.com", true),
            ("?b", "äb", true),
            ("?b", "b", false),
            ("a*b*c", "a-b-b-c", true),
            ("a", "A", false),
            ("*", "", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
