//! The log of calls: what tests count, wait for and look into.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::op::Op;

/// One call of an operation.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which operation.
    pub op: Op,
    /// When it came in, by AWS's clock.
    pub at: SystemTime,
    /// Whose access key the request bears; nothing says yet that the signature is good.
    pub caller_arn: Option<String>,
    /// `RoleArn` of an AssumeRole, or AssumeRoleWithWebIdentity.
    pub role_arn: Option<String>,
    /// `RoleSessionName` of the same.
    pub session_name: Option<String>,
    /// Region of the credential scope, or, unsigned, of the host.
    pub region: Option<String>,
    /// The `Host` header.
    pub host: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Parameters as the query protocol has them (`SourceIdentity`, `Tags.member.1.Key`), or the cluster's name as `name`;
    /// the values of secrets are replaced by `[secret]`.
    pub params: BTreeMap<String, String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether a scripted fault was played on it.
    pub faulted: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not been answered yet.
    Pending,
    /// It was answered with success.
    Ok,
    /// It was answered with an error.
    Error {
        /// HTTP status.
        status: u16,
        /// `AccessDenied`, …; empty for an answer that is not AWS's.
        code: String,
    },
    /// The connection was closed by a fault instead of an answer.
    Reset,
    /// The caller went away before the answer.
    Abandoned,
}

/// Parameters whose values a log must not hold.
const SECRET_PARAMS: [&str; 7] = [
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "TokenCode",
    "WebIdentityToken",
    "SAMLAssertion",
    "SecretAccessKey",
    "SessionToken",
];

/// Parameters without secrets.
pub(crate) fn without_secrets(params: &[(String, String)]) -> BTreeMap<String, String> {
    let hidden = |name: &str| SECRET_PARAMS.iter().any(|secret| secret.eq_ignore_ascii_case(name));
    params
        .iter()
        .map(|(name, value)| (name.clone(), if hidden(name) { "[secret]".to_owned() } else { value.clone() }))
        .collect()
}

/// All calls, and how many there are at this moment.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    log: Vec<Call>,
    now: HashMap<Op, usize>,
    peak: HashMap<Op, usize>,
}

impl Calls {
    /// Takes a call down; the number names it in [`Calls::end`].
    pub(crate) fn begin(&mut self, call: Call) -> usize {
        let now = self.now.entry(call.op).or_default();
        *now += 1;
        let peak = self.peak.entry(call.op).or_default();
        *peak = (*peak).max(*now);
        self.log.push(call);
        self.log.len() - 1
    }

    pub(crate) fn mark_faulted(&mut self, number: usize) {
        self.log[number].faulted = true;
    }

    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
        let call = &mut self.log[number];
        call.outcome = outcome;
        *self.now.get_mut(&call.op).expect("the call has begun") -= 1;
    }

    pub(crate) fn log(&self) -> &[Call] {
        &self.log
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.log.iter().filter(|call| call.op == op).count()
    }

    pub(crate) fn in_flight(&self, op: Op) -> usize {
        self.now.get(&op).copied().unwrap_or_default()
    }

    pub(crate) fn peak(&self, op: Op) -> usize {
        self.peak.get(&op).copied().unwrap_or_default()
    }
}
