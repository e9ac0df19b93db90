//! The principals that access keys belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::arn::Arn;

/// The principal of an access key.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// The user's ARN, or the assumed-role ARN.
    pub(crate) arn: String,
    /// `AIDA…`, or `AROA…:session`.
    pub(crate) user_id: String,
    /// ARN of the role with its path, for a session of a role.
    pub(crate) role_arn: Option<String>,
    pub(crate) source_identity: Option<String>,
    /// Whether the credentials are temporary: those of a role, or of GetSessionToken.
    pub(crate) temporary: bool,
    /// Time of the MFA code. Only GetSessionToken stores it in credentials, AssumeRole does not.
    pub(crate) mfa_since: Option<SystemTime>,
    pub(crate) tags: SessionTags,
}

/// Session tags, and which of them are transitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionTags {
    pub(crate) all: BTreeMap<String, String>,
    pub(crate) transitive: BTreeSet<String>,
}

impl SessionTags {
    /// Returns the tags that the next role of a chain inherits.
    pub(crate) fn inherited(&self) -> Self {
        let all = self.all.iter().filter(|(key, _)| self.transitive.contains(*key));
        Self { all: all.map(|(key, value)| (key.clone(), value.clone())).collect(), ..self.clone() }
    }
}

impl Principal {
    pub(crate) fn user(arn: &str, id: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            user_id: id.to_owned(),
            role_arn: None,
            source_identity: None,
            temporary: false,
            mfa_since: None,
            tags: SessionTags::default(),
        }
    }

    pub(crate) fn account(&self) -> String {
        Arn::parse(&self.arn).expect("the table holds ARNs").account
    }

    /// Returns the identity whose policies apply: the user or the role.
    pub(crate) fn identity(&self) -> &str {
        self.role_arn.as_deref().unwrap_or(&self.arn)
    }
}
