//! The report of a change: what was done, and what was not.

use std::path::PathBuf;

use rolecall_core::cluster_access::change::Plan;
use rolecall_protocol::{
    AccessAction, AccessChange, AccessFinding, AccessPlan, AccessReport, AccessResult, AccessSource, ErrorBody,
    ErrorCode, Severity,
};

/// A report in the making.
pub(super) struct Report {
    results: Vec<Outcome>,
    /// The index of the first change of [`Plan::changes`].
    first: usize,
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
    /// Starts a report with every change of the plan as the user sees it: the mode before, the changes, the text of aws-auth,
    /// the mode after.
    pub(super) fn new(plan: &Plan, shown: &AccessPlan) -> Self {
        let first = usize::from(plan.mode_before.is_some());
        let outcome = |(index, change): (usize, &AccessChange)| {
            let planned = index.checked_sub(first).and_then(|index| plan.changes.get(index));
            let is_in_aws_auth = change.action == AccessAction::WriteAwsAuth
                || planned.is_some_and(|it| it.source == AccessSource::AwsAuth && change.action.is_change());
            let state = match change.action {
                AccessAction::Refuse => State::Failed(refusal(change)),
                action if action.is_change() => State::Open,
                _ => State::Done,
            };
            Outcome { target: change.target.clone(), action: change.action, is_in_aws_auth, state }
        };
        let results = shown.changes.iter().enumerate().map(outcome).collect();
        Self { results, first, backup: None, rolled_back: None, notes: Vec::new() }
    }

    /// Records the outcome of the change at `index` of [`Plan::changes`].
    pub(super) fn record_change(&mut self, index: usize, outcome: Result<(), ErrorBody>) {
        self.record(self.first + index, outcome);
    }

    fn record(&mut self, index: usize, outcome: Result<(), ErrorBody>) {
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

/// Returns why a change is refused.
fn refusal(change: &AccessChange) -> ErrorBody {
    let reason = change.findings.first();
    let message = reason.map_or("the request is not valid for it", |finding| finding.message.as_str());
    let body = ErrorBody::new(ErrorCode::AccessRefused, message);
    match reason.and_then(|finding| finding.hint.as_ref()) {
        Some(hint) => body.hint(hint),
        None => body,
    }
}
