//! When each profile was last used, and why it last got no token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorBody, ErrorCode, ProfileName};

use super::unauthorized::TokenPolicy;

/// A process whose token was rejected asks again within less than this.
const ACCEPTED_AFTER: Duration = Duration::from_secs(10);

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
    /// The tokens that the cluster seems to have rejected.
    rejections: Rejections,
}

/// The rejected tokens of a profile. One rejection is no news: AWS may have revoked a session.
#[derive(Debug, Clone, Default)]
struct Rejections {
    /// How many in a row.
    count: u32,
    last: Option<SystemTime>,
    /// When a process got its first token, and has not been rejected since.
    unconfirmed: Option<SystemTime>,
}

impl Activity {
    /// When the cluster last rejected a token, if it rejected several in a row and accepts none since.
    pub(super) fn tokens_rejected(&self, now: SystemTime) -> Option<SystemTime> {
        let is_accepted = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age >= ACCEPTED_AFTER);
        let Rejections { count, last, unconfirmed } = &self.rejections;
        last.filter(|_| *count > 1 && !unconfirmed.is_some_and(is_accepted))
    }
}

impl Rejections {
    /// Records a token that a process gets.
    fn record(&mut self, policy: TokenPolicy, now: SystemTime) {
        match policy {
            // The process before this one was not rejected.
            TokenPolicy::Shared if self.unconfirmed.is_some() => {
                *self = Self { unconfirmed: Some(now), ..Self::default() }
            }
            TokenPolicy::Shared => self.unconfirmed = Some(now),
            TokenPolicy::NewSignatureAfterUse => *self = Self::default(),
            TokenPolicy::NewSignature | TokenPolicy::NewSession => {
                *self = Self { count: self.count.saturating_add(1), last: Some(now), unconfirmed: None };
            }
        }
    }
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

    /// Records that a token was made, and whether the cluster rejected the token before it. Returns whether that begins or
    /// ends a failure.
    pub(super) fn succeeded(&self, name: &ProfileName, policy: TokenPolicy, now: SystemTime) -> bool {
        let mut activities = self.activities();
        let Some(activity) = activities.get_mut(name) else { return false };
        let was_rejected = activity.rejections.count > 1;
        activity.rejections.record(policy, now);
        activity.token_failure.take().is_some() || (activity.rejections.count > 1) != was_rejected
    }

    /// Records what the API server answered to a token of the profile. Returns whether that begins or ends a failure.
    pub(super) fn answered(&self, name: &ProfileName, is_accepted: bool, now: SystemTime) -> bool {
        let mut activities = self.activities();
        let rejections = &mut activities.entry(name.clone()).or_default().rejections;
        let was_rejected = rejections.count > 1;
        // One answer is certain; the two in a row of `tokens_rejected` are not.
        *rejections = if is_accepted {
            Rejections::default()
        } else {
            Rejections { count: 2, last: Some(now), unconfirmed: None }
        };
        is_accepted == was_rejected
    }

    /// Drops what is known of the tokens of a profile whose settings changed.
    pub(super) fn changed(&self, name: &ProfileName) {
        if let Some(activity) = self.activities().get_mut(name) {
            (activity.rejections, activity.token_failure) = (Rejections::default(), None);
        }
    }

    /// Drops the failure of a profile whose lifetime had ended: the user ran `rolecall refresh`.
    pub(super) fn refreshed(&self, name: &ProfileName) {
        if let Some(activity) = self.activities().get_mut(name) {
            activity.token_failure.take_if(|(error, _)| error.code == ErrorCode::RefreshNeeded);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_tokens_last_until_a_process_is_accepted() {
        let (activity, prod) = (ProfileActivity::default(), "prod".parse().unwrap());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let rejected = |now| activity.of(&prod).tokens_rejected(at(now));
        let request = |policy, now| activity.succeeded(&prod, policy, at(now));
        activity.used(&prod, at(0));
        // One kubectl is rejected, and then another one.
        assert!(!request(TokenPolicy::Shared, 1) && !request(TokenPolicy::NewSignature, 2));
        assert_eq!(rejected(2), None);
        assert!(!request(TokenPolicy::Shared, 3) && request(TokenPolicy::NewSignature, 4));
        assert_eq!(rejected(1000), Some(at(4)));
        // The next one is not.
        assert!(!request(TokenPolicy::Shared, 1000));
        assert_eq!(rejected(1001), Some(at(4)), "it may still be rejected");
        assert_eq!(rejected(1010), None);
        assert!(request(TokenPolicy::Shared, 1002));
        assert_eq!(rejected(1002), None);
        // One process that is rejected twice, and one that uses its token for a while.
        assert!(!request(TokenPolicy::NewSignature, 1003) && request(TokenPolicy::NewSession, 1004));
        assert_eq!(rejected(1004), Some(at(1004)));
        assert!(request(TokenPolicy::NewSignatureAfterUse, 1040));
        assert_eq!(rejected(1040), None);
    }

    #[test]
    fn answer_of_the_api_server_is_certain() {
        let (activity, prod) = (ProfileActivity::default(), "prod".parse().unwrap());
        let now = SystemTime::UNIX_EPOCH;
        assert!(activity.answered(&prod, false, now) && !activity.answered(&prod, false, now));
        assert_eq!(activity.of(&prod).tokens_rejected(now), Some(now));
        assert!(activity.answered(&prod, true, now) && !activity.answered(&prod, true, now));
        assert_eq!(activity.of(&prod).tokens_rejected(now), None);
        assert!(activity.answered(&prod, false, now));
        activity.changed(&prod);
        assert_eq!(activity.of(&prod).tokens_rejected(now), None);
    }
}
