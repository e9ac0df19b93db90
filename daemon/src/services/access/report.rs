//! The report of a change: what was done, and what was not.

use std::path::PathBuf;

use rolecall_core::cluster_access::change::{Plan, PlannedChange};
use rolecall_protocol::{AccessAction, AccessFinding, AccessReport, AccessResult, ErrorBody, ErrorCode, Severity};

/// A report in the making.
pub(super) struct Report {
    results: Vec<Outcome>,
    backup: Option<PathBuf>,
    rolled_back: Option<ErrorBody>,
    notes: Vec<AccessFinding>,
}

struct Outcome {
    target: String,
    action: AccessAction,
    /// Whether aws-auth makes the change.
    is_in_aws_auth: bool,
    state: State,
}

enum State {
    /// The change was not made yet.
    Open,
    Done,
    Failed(ErrorBody),
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        let outcome = |planned: &PlannedChange| {
            let change = &planned.change;
            let is_in_aws_auth =
                planned.calls.is_empty() && change.action.is_change() && change.action != AccessAction::SetMode;
            let state = if change.action == AccessAction::Refuse {
                let reason = change.findings.first();
                let message = reason.map_or("the request is not valid for it", |finding| finding.message.as_str());
                let body = ErrorBody::new(ErrorCode::AccessRefused, message);
                let hint = reason.and_then(|finding| finding.hint.as_ref());
                State::Failed(hint.map_or(body.clone(), |hint| body.hint(hint)))
            } else if change.action.is_change() {
                State::Open
            } else {
                State::Done
            };
            Outcome { target: change.target.clone(), action: change.action, is_in_aws_auth, state }
        };
        let results = plan.changes.iter().map(outcome).collect();
        Self { results, backup: None, rolled_back: None, notes: Vec::new() }
    }

    /// Records the outcome of the change at `index`.
    pub(super) fn record(&mut self, index: usize, outcome: Result<(), ErrorBody>) {
        self.results[index].state = match outcome {
            Ok(()) => State::Done,
            Err(error) => State::Failed(error),
        };
    }

    /// Records the outcome of all changes that aws-auth makes.
    pub(super) fn record_aws_auth(&mut self, outcome: &Result<(), ErrorBody>) {
        for index in 0..self.results.len() {
            let result = &self.results[index];
            if result.is_in_aws_auth && matches!(result.state, State::Open | State::Done) {
                self.record(index, outcome.clone());
            }
        }
    }

    /// Records the outcome of the next change of the authentication mode.
    pub(super) fn record_mode(&mut self, outcome: Result<(), ErrorBody>) {
        let is_open = |result: &Outcome| result.action == AccessAction::SetMode && matches!(result.state, State::Open);
        if let Some(index) = self.results.iter().position(is_open) {
            self.record(index, outcome);
        }
    }

    pub(super) fn set_backup(&mut self, path: PathBuf) {
        self.backup = Some(path);
    }

    pub(super) fn set_rolled_back(&mut self, error: ErrorBody) {
        self.rolled_back = Some(error);
    }

    pub(super) fn note(&mut self, severity: Severity, code: &str, message: impl Into<String>, hint: Option<String>) {
        let (code, message) = (code.to_owned(), message.into());
        self.notes.push(AccessFinding { severity, code, message, hint, key: None, line: None });
    }

    /// Whether a change failed that was not refused in the plan.
    pub(super) fn has_failed(&self) -> bool {
        let failed =
            |result: &Outcome| result.action != AccessAction::Refuse && matches!(result.state, State::Failed(_));
        self.rolled_back.is_some() || self.results.iter().any(failed)
    }

    /// Returns the report. A change that is still open was not made.
    pub(super) fn finish(self) -> AccessReport {
        let not_made = "not changed, because a change before it failed";
        let result = |outcome: Outcome| AccessResult {
            target: outcome.target,
            action: outcome.action,
            error: match outcome.state {
                State::Done => None,
                State::Failed(error) => Some(error),
                State::Open => Some(ErrorBody::new(ErrorCode::AccessRefused, not_made)),
            },
        };
        AccessReport {
            results: self.results.into_iter().map(result).collect(),
            backup: self.backup,
            rolled_back: self.rolled_back,
            notes: self.notes,
        }
    }
}
