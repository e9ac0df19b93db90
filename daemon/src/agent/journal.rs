//! What happened to each profile last: for people who ask, never for decisions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rolecall_protocol::{ErrorBody, ProfileName};

/// One entry a profile.
#[derive(Default)]
pub(super) struct Journal(Mutex<HashMap<ProfileName, Entry>>);

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// When a token or a session was last asked for.
    pub(super) used: Option<SystemTime>,
    /// What went wrong, since when, if nothing has gone right since.
    pub(super) problem: Option<(ErrorBody, SystemTime)>,
}

impl Journal {
    /// Notes a use, and returns the one before.
    pub(super) fn used(&self, name: &ProfileName, now: SystemTime) -> Option<SystemTime> {
        self.entries().entry(name.clone()).or_default().used.replace(now)
    }

    /// Notes how it went; the same problem again keeps its beginning.
    pub(super) fn went(&self, name: &ProfileName, problem: Option<ErrorBody>, now: SystemTime) {
        let mut entries = self.entries();
        let entry = entries.entry(name.clone()).or_default();
        entry.problem = problem.map(|error| match entry.problem.take() {
            Some((known, since)) if known.code == error.code => (error, since),
            _ => (error, now),
        });
    }

    pub(super) fn of(&self, name: &ProfileName) -> Entry {
        self.entries().get(name).cloned().unwrap_or_default()
    }

    pub(super) fn retain(&self, keep: impl Fn(&ProfileName) -> bool) {
        self.entries().retain(|name, _| keep(name));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ProfileName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
