//! What happened to each profile last: for people who ask, and for the engine that keeps what is used.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rolecall_protocol::{ErrorBody, ProfileName};

/// One entry a profile.
#[derive(Default)]
pub(super) struct ProfileActivity(Mutex<HashMap<ProfileName, Entry>>);

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// When a token or a session was last asked for.
    pub(super) used: Option<SystemTime>,
    /// What went wrong beyond the session, since when, if nothing has gone right since.
    pub(super) problem: Option<(ErrorBody, SystemTime)>,
}

impl ProfileActivity {
    /// Notes a use, and returns the one before.
    pub(super) fn used(&self, name: &ProfileName, now: SystemTime) -> Option<SystemTime> {
        self.entries().entry(name.clone()).or_default().used.replace(now)
    }

    /// Notes what went wrong beyond the session; the same problem again keeps its beginning.
    pub(super) fn failed(&self, name: &ProfileName, error: ErrorBody, now: SystemTime) {
        let mut entries = self.entries();
        let entry = entries.entry(name.clone()).or_default();
        let since =
            entry.problem.as_ref().filter(|(known, _)| known.code == error.code).map_or(now, |(_, since)| *since);
        entry.problem = Some((error, since));
    }

    /// Notes that all went well.
    pub(super) fn went_well(&self, name: &ProfileName) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.problem = None;
        }
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
