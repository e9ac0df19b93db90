//! When each profile was last used, and why it last got no token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rolecall_protocol::{ErrorBody, ProfileName};

/// The activity of all profiles.
#[derive(Default)]
pub(crate) struct ProfileActivity(Mutex<HashMap<ProfileName, Activity>>);

/// The activity of one profile.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity {
    /// When a token or a session was last requested.
    pub(super) last_used: Option<SystemTime>,
    /// Why no token could be made from a session, and since when; cleared by the next token.
    pub(super) token_failure: Option<(ErrorBody, SystemTime)>,
}

impl ProfileActivity {
    /// Records a use, and returns when the use before it was.
    pub(super) fn used(&self, name: &ProfileName, now: SystemTime) -> Option<SystemTime> {
        self.activities().entry(name.clone()).or_default().last_used.replace(now)
    }

    /// Records that no token could be made. A failure with the same code keeps its beginning.
    pub(super) fn failed(&self, name: &ProfileName, error: ErrorBody, now: SystemTime) {
        let mut activities = self.activities();
        let failure = &mut activities.entry(name.clone()).or_default().token_failure;
        let since = failure.as_ref().filter(|(last, _)| last.code == error.code).map_or(now, |(_, since)| *since);
        *failure = Some((error, since));
    }

    /// Records that a token was made.
    pub(super) fn succeeded(&self, name: &ProfileName) {
        if let Some(activity) = self.activities().get_mut(name) {
            activity.token_failure = None;
        }
    }

    pub(super) fn of(&self, name: &ProfileName) -> Activity {
        self.activities().get(name).cloned().unwrap_or_default()
    }

    pub(super) fn last_used(&self, name: &ProfileName) -> Option<SystemTime> {
        self.activities().get(name)?.last_used
    }

    pub(super) fn retain(&self, keep: impl Fn(&ProfileName) -> bool) {
        self.activities().retain(|name, _| keep(name));
    }

    fn activities(&self) -> MutexGuard<'_, HashMap<ProfileName, Activity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
