//! What the trust policy of a role says about one AssumeRole, and the statements that allow the call.
//!
//! Rolecall judges only what is known on this computer. A condition on anything else, such as `aws:SourceIp`, is named and
//! left open. Nothing here decides whether a call is made: STS does.

mod caller;
mod condition;
mod document;
mod problem;
mod statement;
mod texts;
mod wildcard;

use std::collections::BTreeMap;

use condition::{Context, Outcome};
use document::Statement;

pub use caller::{Caller, CallerKind};
pub use document::{TrustPolicy, TrustPolicyError};
pub use problem::{Requirement, TrustProblem};
pub use statement::{PermissionNeeds, identity_policy, identity_statement, trust_statement};

/// The action of a call with a role.
pub const ASSUME_ROLE: &str = "sts:AssumeRole";
/// The action that a call with tags needs as well.
pub const TAG_SESSION: &str = "sts:TagSession";
/// The action that a call with a source identity needs as well.
pub const SET_SOURCE_IDENTITY: &str = "sts:SetSourceIdentity";

/// The facts of an AssumeRole that a trust policy can depend on.
#[derive(Debug, Clone)]
pub struct AssumeRoleFacts<'a> {
    /// The principal whose credentials sign the call.
    pub caller: &'a Caller,
    /// The RoleSessionName.
    pub session_name: &'a str,
    /// The ExternalId.
    pub external_id: Option<&'a str>,
    /// The use of MFA.
    pub mfa: MfaUse,
    /// The session tags.
    pub tags: BTreeMap<&'a str, &'a str>,
    /// The keys of the transitive tags.
    pub transitive_tags: Vec<&'a str>,
    /// The SourceIdentity.
    pub source_identity: Option<&'a str>,
}

/// How a call uses MFA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MfaUse {
    /// The call has a code.
    Code,
    /// The call is signed with a session of GetSessionToken that had a code.
    Session,
    /// The call has no MFA.
    Without {
        /// Whether temporary credentials sign it. AWS sets `aws:MultiFactorAuthPresent` to `false` for them, and leaves it out
        /// for an access key of a user.
        is_temporary: bool,
    },
}

/// How a trust policy names a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedAs {
    /// By its own ARN.
    Principal,
    /// By its account: the caller's identity policy has to allow the call as well.
    Account,
    /// As everybody (`*`).
    Everyone,
}

/// What a trust policy says about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustVerdict {
    /// How the policy names the caller in the statement that comes closest to the call; `None` if it does not.
    pub named_as: Option<NamedAs>,
    /// Why the policy does not allow the call, the most likely cause first. Empty if it allows the call.
    pub problems: Vec<TrustProblem>,
}

impl TrustVerdict {
    /// Returns whether nothing that is known on this computer stands against the call.
    #[must_use]
    pub fn may_allow(&self) -> bool {
        self.problems.iter().all(|problem| matches!(problem, TrustProblem::NotJudged { .. }))
    }
}

/// An Allow statement that names the caller, with the outcomes of its conditions.
struct Candidate {
    named_as: NamedAs,
    unmet: Vec<Requirement>,
    open: Vec<String>,
}

impl TrustPolicy {
    /// Judges a call.
    #[must_use]
    pub fn judge(&self, facts: &AssumeRoleFacts<'_>) -> TrustVerdict {
        let context = Context::new(facts);
        let mut problems = Vec::new();
        let mut open = self.denials(facts, &context, &mut problems);
        let closest = self.candidates(facts, &context, ASSUME_ROLE).min_by_key(Candidate::distance);
        let named_as = closest.as_ref().map(|candidate| candidate.named_as);
        match closest {
            Some(candidate) => {
                problems.extend(candidate.unmet.into_iter().map(TrustProblem::Unmet));
                open.extend(candidate.open);
            }
            None => problems.push(self.absence(facts.caller)),
        }
        if named_as.is_some() {
            for action in needed_actions(facts).into_iter().skip(1) {
                if !self.candidates(facts, &context, action).any(|candidate| candidate.unmet.is_empty()) {
                    problems.push(TrustProblem::ActionMissing { action });
                }
            }
        }
        open.sort_unstable();
        open.dedup();
        problems.extend(open.into_iter().map(|key| TrustProblem::NotJudged { key }));
        TrustVerdict { named_as, problems }
    }

    /// Adds the Deny statements that apply. Returns the keys of conditions that decide whether others apply.
    fn denials(
        &self,
        facts: &AssumeRoleFacts<'_>,
        context: &Context<'_>,
        problems: &mut Vec<TrustProblem>,
    ) -> Vec<String> {
        let mut open = Vec::new();
        for statement in self.statements.iter().filter(|statement| !statement.allows) {
            let is_about_call = needed_actions(facts).iter().any(|action| statement.actions.contain(action));
            if !is_about_call || statement.principals.name(facts.caller).is_none() {
                continue;
            }
            let outcomes: Vec<_> = statement.conditions.iter().map(|one| (one, one.outcome(context))).collect();
            if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Unmet) {
                continue;
            }
            let unknown = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Unknown);
            let unknown: Vec<String> = unknown.map(|(condition, _)| condition.key.clone()).collect();
            if unknown.is_empty() {
                let requirements = statement.conditions.iter().map(|one| one.requirement(facts)).collect();
                problems.push(TrustProblem::Deny { sid: statement.sid.clone(), requirements });
            }
            open.extend(unknown);
        }
        open
    }

    /// The Allow statements of an action that name the caller.
    fn candidates<'a>(
        &'a self,
        facts: &'a AssumeRoleFacts<'_>,
        context: &'a Context<'_>,
        action: &'a str,
    ) -> impl Iterator<Item = Candidate> + 'a {
        let allowing = self.statements.iter().filter(move |one| one.allows && one.actions.contain(action));
        allowing.filter_map(move |statement| {
            let named_as = statement.principals.name(facts.caller)?;
            let (mut unmet, mut open) = (Vec::new(), Vec::new());
            for condition in &statement.conditions {
                match condition.outcome(context) {
                    Outcome::Met => {}
                    Outcome::Unmet => unmet.push(condition.requirement(facts)),
                    Outcome::Unknown => open.push(condition.key.clone()),
                }
            }
            unmet.dedup();
            Some(Candidate { named_as, unmet, open })
        })
    }

    /// Why no statement allows the caller to assume the role, whatever its conditions.
    fn absence(&self, caller: &Caller) -> TrustProblem {
        let allowing = || self.statements.iter().filter(|statement| statement.allows);
        let assuming = || allowing().filter(|statement| statement.actions.contain(ASSUME_ROLE));
        let naming: Vec<&Statement> =
            allowing().filter(|statement| statement.principals.name(caller).is_some()).collect();
        if !naming.is_empty() || assuming().next().is_none() && allowing().next().is_some() {
            let statements: Vec<&Statement> = if naming.is_empty() { allowing().collect() } else { naming };
            let mut actions: Vec<String> = statements.iter().flat_map(|statement| statement.actions.shown()).collect();
            actions.sort_unstable();
            actions.dedup();
            return TrustProblem::OtherActions { actions };
        }
        match assuming().find_map(|statement| statement.principals.deleted()) {
            Some(id) => TrustProblem::DeletedPrincipal { id },
            None => TrustProblem::NotNamed { caller: caller.policy_arn() },
        }
    }
}

impl Candidate {
    fn distance(&self) -> (usize, usize, NamedAs) {
        (self.unmet.len(), self.open.len(), self.named_as)
    }
}

/// The actions that the call needs; `sts:AssumeRole` is the first.
fn needed_actions(facts: &AssumeRoleFacts<'_>) -> Vec<&'static str> {
    let tags = (!facts.tags.is_empty()).then_some(TAG_SESSION);
    let source_identity = facts.source_identity.map(|_| SET_SOURCE_IDENTITY);
    [Some(ASSUME_ROLE), tags, source_identity].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
