//! When each profile was last used, and why it last got no token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rolecall_protocol::{ErrorBody, ProfileName};

use super::unauthorized::TokenPolicy;

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
    /// When the cluster last rejected several tokens of one process; cleared by the next token of another process.
    pub(super) tokens_rejected: Option<SystemTime>,
}

impl ProfileActivity {
    /// Records a use, and returns when the use before it was.
    pub(super) fn used(&self, name: &ProfileName, now: SystemTime) -> Option<SystemTime> {
        self.activities().entry(name.clone()).or_default().last_used.replace(now)
    }

    /// Records that a profile got no token. A failure with the same code keeps its beginning. Returns whether it is a new
    /// one.
    pub(super) fn failed(&self, name: &ProfileName, error: ErrorBody, now: SystemTime) -> bool {
        let mut activities = self.activities();
        let failure = &mut activities.entry(name.clone()).or_default().token_failure;
        let earlier = failure.as_ref().filter(|(last, _)| last.code == error.code).map(|(_, since)| *since);
        *failure = Some((error, earlier.unwrap_or(now)));
        earlier.is_none()
    }

    /// Records that a token was made, and whether the cluster rejected the tokens before it. Returns whether that ends or
    /// begins a failure.
    pub(super) fn succeeded(&self, name: &ProfileName, policy: TokenPolicy, now: SystemTime) -> bool {
        let mut activities = self.activities();
        let Some(activity) = activities.get_mut(name) else { return false };
        let was_rejected = activity.tokens_rejected.is_some();
        match policy {
            TokenPolicy::Shared => activity.tokens_rejected = None,
            TokenPolicy::NewSessionAgain => activity.tokens_rejected = Some(now),
            TokenPolicy::NewSignature | TokenPolicy::NewSession => {}
        }
        activity.token_failure.take().is_some() || activity.tokens_rejected.is_some() != was_rejected
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rejected_tokens_last_until_another_process_gets_one() {
        let (activity, prod) = (ProfileActivity::default(), "prod".parse().unwrap());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        activity.used(&prod, at(0));
        for policy in [TokenPolicy::Shared, TokenPolicy::NewSignature, TokenPolicy::NewSession] {
            assert!(!activity.succeeded(&prod, policy, at(1)));
            assert_eq!(activity.of(&prod).tokens_rejected, None);
        }
        assert!(activity.succeeded(&prod, TokenPolicy::NewSessionAgain, at(2)));
        assert!(!activity.succeeded(&prod, TokenPolicy::NewSessionAgain, at(3)));
        assert!(!activity.succeeded(&prod, TokenPolicy::NewSignature, at(4)));
        assert_eq!(activity.of(&prod).tokens_rejected, Some(at(3)));
        assert!(activity.succeeded(&prod, TokenPolicy::Shared, at(5)));
        assert_eq!(activity.of(&prod).tokens_rejected, None);
    }
}
