//! The conditions of a statement, and whether they hold for a call.

use serde_json::Value;

use super::texts::texts;
use super::wildcard;
use super::{AssumeRoleFacts, CallerKind, MfaUse, Requirement};

/// One key of one operator. All conditions of a statement must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    operator: Operator,
    /// As in the policy. Keys are compared without regard to case.
    pub(super) key: String,
    values: Vec<String>,
}

/// An operator of IAM, such as `ForAnyValue:StringNotLikeIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    test: Test,
    is_negated: bool,
    /// The condition holds if the call does not have the key.
    if_exists: bool,
    values: SetRule,
}

/// Which of the values of a key have to fulfil a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetRule {
    /// The key has one value. With a negated operator, none of several may match.
    Single,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// How an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Null,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    NumericEquals,
    /// An operator that is not judged here: of dates, IP addresses and binary values.
    Other,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Met,
    Unmet,
    Unknown,
}

/// The value of a key in a call.
enum Fact {
    Absent,
    Is(Vec<String>),
    /// A value that is incomplete: a match with it holds, anything else is unknown.
    Perhaps(String),
    Unknown,
}

/// The values of the keys of a call.
pub(super) struct Context<'a> {
    facts: &'a AssumeRoleFacts<'a>,
}

impl Condition {
    /// Reads the element `Condition`. What is not in its form is one condition that cannot be judged.
    pub(super) fn read_all(element: &Value) -> Vec<Self> {
        let odd = |key: &str| Self { operator: Operator::read(""), key: key.to_owned(), values: Vec::new() };
        let Some(operators) = element.as_object() else { return vec![odd("Condition")] };
        let mut conditions = Vec::new();
        for (name, keys) in operators {
            match keys.as_object() {
                Some(keys) => conditions.extend(keys.iter().map(|(key, values)| Self {
                    operator: Operator::read(name),
                    key: key.clone(),
                    values: texts(values),
                })),
                None => conditions.push(odd(name)),
            }
        }
        conditions
    }

    pub(super) fn outcome(&self, context: &Context<'_>) -> Outcome {
        let operator = self.operator;
        let known = |holds: bool| if holds { Outcome::Met } else { Outcome::Unmet };
        let fact = context.fact(&self.key);
        if operator.test == Test::Null {
            let expects_absence = self.values.iter().any(|value| value.eq_ignore_ascii_case("true"));
            return match fact {
                Fact::Absent => known(expects_absence),
                Fact::Is(_) | Fact::Perhaps(_) => known(!expects_absence),
                Fact::Unknown => Outcome::Unknown,
            };
        }
        match fact {
            Fact::Unknown => Outcome::Unknown,
            Fact::Absent => known(match operator.values {
                SetRule::All => true,
                SetRule::Any => operator.if_exists,
                SetRule::Single => operator.if_exists || operator.is_negated,
            }),
            _ if operator.test == Test::Other => Outcome::Unknown,
            Fact::Perhaps(value) => match self.has_match(&value, context) {
                Some(true) => known(!operator.is_negated),
                _ => Outcome::Unknown,
            },
            Fact::Is(values) => {
                let matches: Option<Vec<bool>> = values.iter().map(|value| self.has_match(value, context)).collect();
                let Some(matches) = matches else { return Outcome::Unknown };
                let holds = |matched: &bool| *matched != operator.is_negated;
                let is_every =
                    operator.values == SetRule::All || operator.values == SetRule::Single && operator.is_negated;
                known(if is_every { matches.iter().all(holds) } else { matches.iter().any(holds) })
            }
        }
    }

    /// Whether a value of the call matches one of the policy; `None` if that is unknown.
    fn has_match(&self, value: &str, context: &Context<'_>) -> Option<bool> {
        let mut is_known = true;
        for pattern in &self.values {
            match context.resolved(pattern).and_then(|pattern| self.operator.compare(&pattern, value)) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => is_known = false,
            }
        }
        is_known.then_some(false)
    }

    /// What the condition requires, for a message.
    pub(super) fn requirement(&self, facts: &AssumeRoleFacts<'_>) -> Requirement {
        let key = self.key.to_ascii_lowercase();
        match key.as_str() {
            "sts:externalid" => Requirement::ExternalId { is_given: facts.external_id.is_some() },
            "aws:multifactorauthpresent" => Requirement::Mfa,
            "aws:multifactorauthage" if matches!(facts.mfa, MfaUse::Without { .. }) => Requirement::Mfa,
            "aws:multifactorauthage" => {
                Requirement::RecentMfa { seconds: self.values.first().cloned().unwrap_or_default() }
            }
            "sts:rolesessionname" => Requirement::SessionName { patterns: self.values.clone() },
            "sts:sourceidentity" | "aws:sourceidentity" => {
                Requirement::SourceIdentity { is_given: facts.source_identity.is_some() }
            }
            _ => match key.strip_prefix("aws:requesttag/") {
                Some(tag) => Requirement::Tag {
                    key: self.key.get("aws:requesttag/".len()..).unwrap_or(tag).to_owned(),
                    is_given: facts.tags.keys().any(|given| given.eq_ignore_ascii_case(tag)),
                },
                None => Requirement::Other { key: self.key.clone() },
            },
        }
    }
}

impl Operator {
    fn read(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let (values, name) = match name.split_once(':') {
            Some(("forallvalues", rest)) => (SetRule::All, rest),
            Some(("foranyvalue", rest)) => (SetRule::Any, rest),
            _ => (SetRule::Single, name.as_str()),
        };
        let (if_exists, name) = match name.strip_suffix("ifexists") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let (test, is_negated) = match name {
            "stringequals" => (Test::Equals, false),
            "stringnotequals" => (Test::Equals, true),
            // Booleans are compared without regard to case.
            "stringequalsignorecase" | "bool" => (Test::EqualsIgnoreCase, false),
            "stringnotequalsignorecase" => (Test::EqualsIgnoreCase, true),
            "stringlike" => (Test::Like, false),
            "stringnotlike" => (Test::Like, true),
            "arnequals" | "arnlike" => (Test::Arn, false),
            "arnnotequals" | "arnnotlike" => (Test::Arn, true),
            "null" => (Test::Null, false),
            "numericlessthan" => (Test::Less, false),
            "numericlessthanequals" => (Test::LessOrEqual, false),
            "numericgreaterthan" => (Test::Greater, false),
            "numericgreaterthanequals" => (Test::GreaterOrEqual, false),
            "numericequals" => (Test::NumericEquals, false),
            "numericnotequals" => (Test::NumericEquals, true),
            _ => (Test::Other, name.contains("not")),
        };
        Self { test, is_negated, if_exists, values }
    }

    /// Compares a value of the policy with one of the call; `None` if they cannot be compared.
    fn compare(self, expected: &str, value: &str) -> Option<bool> {
        let numbers = || Some((value.parse::<i64>().ok()?, expected.parse::<i64>().ok()?));
        Some(match self.test {
            Test::Equals => expected == value,
            Test::EqualsIgnoreCase => expected.eq_ignore_ascii_case(value),
            Test::Like => wildcard::matches(expected, value),
            Test::Arn => wildcard::arn_matches(expected, value),
            Test::Less => numbers().map(|(value, limit)| value < limit)?,
            Test::LessOrEqual => numbers().map(|(value, limit)| value <= limit)?,
            Test::Greater => numbers().map(|(value, limit)| value > limit)?,
            Test::GreaterOrEqual => numbers().map(|(value, limit)| value >= limit)?,
            Test::NumericEquals => numbers().map(|(value, limit)| value == limit)?,
            Test::Null | Test::Other => return None,
        })
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(facts: &'a AssumeRoleFacts<'a>) -> Self {
        Self { facts }
    }

    /// The value of a key, whose name has no case.
    fn fact(&self, key: &str) -> Fact {
        let (facts, caller) = (self.facts, self.facts.caller);
        let one = |text: &str| Fact::Is(vec![text.to_owned()]);
        let optional = |text: Option<&str>| text.map_or(Fact::Absent, one);
        let list = |texts: Vec<String>| if texts.is_empty() { Fact::Absent } else { Fact::Is(texts) };
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "sts:externalid" => optional(facts.external_id),
            "sts:rolesessionname" => one(facts.session_name),
            "sts:sourceidentity" => optional(facts.source_identity),
            "aws:multifactorauthpresent" => match facts.mfa {
                MfaUse::Code | MfaUse::Session => one("true"),
                MfaUse::Without { is_temporary: true } => one("false"),
                MfaUse::Without { is_temporary: false } => Fact::Absent,
            },
            "aws:multifactorauthage" => match facts.mfa {
                MfaUse::Code => one("0"),
                MfaUse::Session => Fact::Unknown,
                MfaUse::Without { .. } => Fact::Absent,
            },
            "aws:tagkeys" => list(facts.tags.keys().map(|key| (*key).to_owned()).collect()),
            "sts:transitivetagkeys" => list(facts.transitive_tags.iter().map(|key| (*key).to_owned()).collect()),
            "aws:principalaccount" => one(caller.account()),
            "aws:principalarn" if caller.has_unknown_path() => Fact::Perhaps(caller.policy_arn()),
            "aws:principalarn" => one(&caller.policy_arn()),
            "aws:principaltype" => match caller.kind() {
                CallerKind::Root => one("Account"),
                CallerKind::User { .. } => one("User"),
                CallerKind::RoleSession { .. } => one("AssumedRole"),
                CallerKind::FederatedUser => one("FederatedUser"),
            },
            "aws:username" => match caller.kind() {
                CallerKind::User { name } => one(name),
                CallerKind::Root | CallerKind::RoleSession { .. } | CallerKind::FederatedUser => Fact::Absent,
            },
            // The source identity of the caller's own session. An access key of a user has none.
            "aws:sourceidentity" if matches!(caller.kind(), CallerKind::User { .. }) => Fact::Absent,
            "aws:securetransport" => one("true"),
            "aws:viaawsservice" | "aws:principalisawsservice" => one("false"),
            _ => match key.strip_prefix("aws:requesttag/") {
                // The keys of tags have no case.
                Some(tag) => {
                    optional(facts.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(tag)).map(|(_, value)| *value))
                }
                None => Fact::Unknown,
            },
        }
    }

    /// A value of the policy with its variable replaced, such as `${aws:username}`. `None` if the variable is unknown.
    fn resolved(&self, value: &str) -> Option<String> {
        let Some((before, rest)) = value.split_once("${") else { return Some(value.to_owned()) };
        let (variable, after) = rest.split_once('}')?;
        match self.fact(variable) {
            Fact::Is(values) if values.len() == 1 && !after.contains("${") => {
                Some(format!("{before}{}{after}", values.concat()))
            }
            _ => None,
        }
    }
}
