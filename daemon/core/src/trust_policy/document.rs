//! The parts of a trust policy document. IAM has checked the document. This reader accepts any JSON, and leaves open what it
//! does not know.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::texts::texts;
use super::wildcard;
use super::{Caller, NamedAs};

/// The largest document that is read, in bytes. IAM's own limit is 4,096 characters.
const MAX_DOCUMENT: usize = 64 * 1024;

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    pub(super) statements: Vec<Statement>,
}

/// Why a text is not a trust policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustPolicyError {
    /// It is longer than any policy.
    #[error("the trust policy is too large")]
    TooLarge,
    /// It is not JSON.
    #[error("the trust policy is not JSON")]
    NotJson,
    /// It has no statement.
    #[error("the trust policy has no statement")]
    NoStatement,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sid: Option<String>,
    pub(super) allows: bool,
    pub(super) principals: Principals,
    pub(super) actions: Actions,
    pub(super) conditions: Vec<Condition>,
}

/// The principals of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principals {
    /// Those in `Principal.AWS`, or `*`. Services and identity providers do not call AssumeRole with these credentials.
    Only(Vec<String>),
    /// All but those in `NotPrincipal.AWS`.
    AllBut(Vec<String>),
}

/// The actions of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actions {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl TrustPolicy {
    /// Reads a document: JSON, as GetRole returns it after decoding.
    pub fn parse(text: &str) -> Result<Self, TrustPolicyError> {
        if text.len() > MAX_DOCUMENT {
            return Err(TrustPolicyError::TooLarge);
        }
        let document: Value = serde_json::from_str(text).map_err(|_| TrustPolicyError::NotJson)?;
        let statements = document.as_object().and_then(|document| element(document, "Statement"));
        let statements: Vec<Statement> = match statements.ok_or(TrustPolicyError::NoStatement)? {
            Value::Array(all) => all.iter().filter_map(Statement::read).collect(),
            one => Statement::read(one).into_iter().collect(),
        };
        Ok(Self { statements })
    }
}

impl Statement {
    /// `None` if the effect is neither Allow nor Deny.
    fn read(statement: &Value) -> Option<Self> {
        let statement = statement.as_object()?;
        let effect = element(statement, "Effect")?.as_str()?;
        let allows = effect.eq_ignore_ascii_case("Allow");
        if !allows && !effect.eq_ignore_ascii_case("Deny") {
            return None;
        }
        let principals = match (element(statement, "Principal"), element(statement, "NotPrincipal")) {
            (Some(principal), _) => Principals::Only(aws_principals(principal)),
            (None, Some(others)) => Principals::AllBut(aws_principals(others)),
            (None, None) => Principals::Only(Vec::new()),
        };
        let actions = match (element(statement, "Action"), element(statement, "NotAction")) {
            (Some(actions), _) => Actions::Only(texts(actions)),
            (None, Some(others)) => Actions::AllBut(texts(others)),
            (None, None) => Actions::Only(Vec::new()),
        };
        let sid = element(statement, "Sid").and_then(Value::as_str).filter(|sid| !sid.is_empty()).map(str::to_owned);
        let conditions = element(statement, "Condition").map(Condition::read_all).unwrap_or_default();
        Some(Self { sid, allows, principals, actions, conditions })
    }
}

impl Principals {
    /// How the principals name a caller.
    pub(super) fn name(&self, caller: &Caller) -> Option<NamedAs> {
        match self {
            Self::Only(names) => {
                let as_one = |name: &String| match name.as_str() {
                    "*" => Some(NamedAs::Everyone),
                    name if caller.is_named_by(name) => Some(NamedAs::Principal),
                    name => caller.is_account(name).then_some(NamedAs::Account),
                };
                names.iter().filter_map(as_one).min()
            }
            Self::AllBut(names) => {
                let is_except = |name: &String| caller.is_named_by(name) || caller.is_account(name) || name == "*";
                (!names.iter().any(is_except)).then_some(NamedAs::Everyone)
            }
        }
    }

    /// The unique id of a deleted user or role. IAM shows it in the place of the ARN.
    pub(super) fn deleted(&self) -> Option<String> {
        let Self::Only(names) = self else { return None };
        let is_id = |name: &&String| {
            let is_unique = name.len() >= 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_unique && ["AROA", "AIDA"].iter().any(|prefix| name.starts_with(prefix))
        };
        names.iter().find(is_id).cloned()
    }
}

impl Actions {
    pub(super) fn contain(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        let is_match = |pattern: &String| wildcard::matches(&pattern.to_ascii_lowercase(), &action);
        match self {
            Self::Only(patterns) => patterns.iter().any(is_match),
            Self::AllBut(patterns) => !patterns.iter().any(is_match),
        }
    }

    pub(super) fn shown(&self) -> Vec<String> {
        match self {
            Self::Only(patterns) => patterns.clone(),
            Self::AllBut(patterns) => patterns.iter().map(|pattern| format!("all but {pattern}")).collect(),
        }
    }
}

/// The AWS principals of `Principal`: `"*"`, or `{"AWS": …}` with a text or a list.
fn aws_principals(principal: &Value) -> Vec<String> {
    match principal {
        Value::Object(kinds) => element(kinds, "AWS").map(texts).unwrap_or_default(),
        other => texts(other),
    }
}

/// An element by its name without regard to case.
fn element<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
