//! The decisions that wait for the disk.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rolecall_protocol::AuditStatus;

use super::Entry;

/// A bounded queue between requests and the thread that writes. A full queue drops its oldest decision.
pub(super) struct Queue {
    limit: usize,
    state: Mutex<State>,
    /// Signals each change of the state.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The path of the file; `None` until the log is opened.
    file: Option<String>,
    pending: VecDeque<Entry>,
    /// The decisions that the thread has taken and that are not written yet.
    writing: usize,
    /// Dropped decisions that no record counts yet.
    uncounted: u64,
    /// All dropped decisions.
    lost: u64,
    /// The last error, until a write succeeds.
    problem: Option<String>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Accepts decisions from now on.
    pub(super) fn open(&self, file: &Path) {
        self.state().file = Some(file.display().to_string());
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().file.is_some()
    }

    /// Adds a decision. The thread does not see it before [`Self::wake`].
    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.state();
        if state.file.is_none() {
            return;
        }
        if state.pending.len() >= self.limit {
            state.pending.pop_front();
            state.uncounted += 1;
            state.lost += 1;
        }
        state.pending.push_back(entry);
    }

    /// Wakes the thread that writes.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Counts a decision that is not recorded.
    pub(super) fn skip(&self) {
        let mut state = self.state();
        state.uncounted += 1;
        state.lost += 1;
    }

    /// Waits for the next decisions, and returns all that there are, at most `limit`. While the log cannot be written, returns none
    /// after `interval`.
    pub(super) fn next(&self, limit: usize, interval: Duration) -> Vec<Entry> {
        let mut state = self.state();
        while state.pending.is_empty() {
            if state.problem.is_none() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (woken, waited) = self.changed.wait_timeout(state, interval).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Vec::new();
            }
            state = woken;
        }
        let count = state.pending.len().min(limit);
        state.writing = count;
        state.pending.drain(..count).collect()
    }

    /// Returns how many decisions were dropped since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.state().uncounted)
    }

    /// Records that the log can be written, and that the decisions of the last [`Self::next`] are, if there were any.
    pub(super) fn written(&self) {
        let mut state = self.state();
        state.writing = 0;
        if state.problem.take().is_some() {
            tracing::info!(lost = state.lost, "audit log is written again");
        }
        let is_all_written = state.pending.is_empty();
        drop(state);
        if is_all_written {
            self.changed.notify_all();
        }
    }

    /// Records that the log cannot be written.
    pub(super) fn failed(&self, error: &str) {
        let mut state = self.state();
        if state.problem.replace(error.to_owned()).is_none() {
            tracing::error!(error, "audit log cannot be written");
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until everything is written, at most `limit`. Returns early while the log cannot be written.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        self.wake();
        let is_pending =
            |state: &mut State| (state.writing > 0 || !state.pending.is_empty()) && state.problem.is_none();
        drop(self.changed.wait_timeout_while(self.state(), limit, is_pending));
    }

    pub(super) fn status(&self) -> Option<AuditStatus> {
        let state = self.state();
        Some(AuditStatus {
            file: state.file.clone()?,
            lost: state.lost,
            waiting: (state.pending.len() + state.writing) as u64,
            problem: state.problem.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn is_writing(&self) -> bool {
        self.state().writing > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
