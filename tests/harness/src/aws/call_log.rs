//! The log of calls, which tests count, wait for and inspect.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::op::Op;

/// A call of an operation.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation.
    pub op: Op,
    /// Time of arrival, by AWS's clock.
    pub at: SystemTime,
    /// Principal of the access key in the request, before its signature is verified.
    pub caller_arn: Option<String>,
    /// `RoleArn` of an AssumeRole, or AssumeRoleWithWebIdentity.
    pub role_arn: Option<String>,
    /// `RoleSessionName` of these calls.
    pub session_name: Option<String>,
    /// Region of the credential scope or, in an unsigned call, of the host.
    pub region: Option<String>,
    /// The `Host` header.
    pub host: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Parameters of the query protocol (`SourceIdentity`, `Tags.member.1.Key`), or of a call to EKS: the cluster as
    /// `name`, `principalArn`, and the texts of the body.
    /// Values of secrets are `[secret]`.
    pub params: BTreeMap<String, String>,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether a scripted fault was applied.
    pub faulted: bool,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No response yet.
    Pending,
    /// A successful response.
    Ok,
    /// An error response.
    Error {
        /// HTTP status.
        status: u16,
        /// `AccessDenied`, …; empty for a response that is not in AWS's format.
        code: String,
    },
    /// A fault closed the connection instead of a response.
    Reset,
    /// The caller disconnected before the response.
    Abandoned,
}

/// Parameters whose values are not logged.
const SECRET_PARAMS: [&str; 7] = [
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "TokenCode",
    "WebIdentityToken",
    "SAMLAssertion",
    "SecretAccessKey",
    "SessionToken",
];

/// Returns the parameters with secrets replaced.
pub(crate) fn without_secrets(params: &[(String, String)]) -> BTreeMap<String, String> {
    let hidden = |name: &str| SECRET_PARAMS.iter().any(|secret| secret.eq_ignore_ascii_case(name));
    params
        .iter()
        .map(|(name, value)| (name.clone(), if hidden(name) { "[secret]".to_owned() } else { value.clone() }))
        .collect()
}

/// All calls, and the number in flight.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    log: Vec<Call>,
    in_flight: HashMap<Op, usize>,
    peak: HashMap<Op, usize>,
}

impl Calls {
    /// Logs a call; returns its number for [`Calls::end`].
    pub(crate) fn begin(&mut self, call: Call) -> usize {
        let in_flight = self.in_flight.entry(call.op).or_default();
        *in_flight += 1;
        let peak = self.peak.entry(call.op).or_default();
        *peak = (*peak).max(*in_flight);
        self.log.push(call);
        self.log.len() - 1
    }

    pub(crate) fn mark_faulted(&mut self, number: usize) {
        self.log[number].faulted = true;
    }

    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
        let call = &mut self.log[number];
        call.outcome = outcome;
        *self.in_flight.get_mut(&call.op).expect("the call is logged") -= 1;
    }

    pub(crate) fn log(&self) -> &[Call] {
        &self.log
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.log.iter().filter(|call| call.op == op).count()
    }

    pub(crate) fn in_flight(&self, op: Op) -> usize {
        self.in_flight.get(&op).copied().unwrap_or_default()
    }

    pub(crate) fn peak(&self, op: Op) -> usize {
        self.peak.get(&op).copied().unwrap_or_default()
    }
}
