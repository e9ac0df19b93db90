//! When each profile was last used, and why it last got no token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorBody, ErrorCode, ProfileName};

use super::unauthorized::TokenPolicy;

/// A process whose token was rejected asks again within less than this.
const ACCEPTED_AFTER: Duration = Duration::from_secs(10);
/// How many rejected tokens in a row show that the cluster rejects the profile. If AWS has revoked the session, the first token
/// and its new signature are rejected, and the token of the next session is accepted.
const CERTAIN_REJECTIONS: u32 = 3;

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

/// The rejected tokens of a profile.
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
        let Rejections { last, unconfirmed, .. } = &self.rejections;
        last.filter(|_| self.rejections.is_certain() && !unconfirmed.is_some_and(is_accepted))
    }
}

impl Rejections {
    const fn is_certain(&self) -> bool {
        self.count >= CERTAIN_REJECTIONS
    }

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
        let was_rejected = activity.rejections.is_certain();
        activity.rejections.record(policy, now);
        let is_changed = log_change(name, was_rejected, &activity.rejections);
        activity.token_failure.take().is_some() || is_changed
    }

    /// Whether the cluster rejects the tokens of a profile.
    pub(super) fn is_rejected(&self, name: &ProfileName, now: SystemTime) -> bool {
        self.activities().get(name).is_some_and(|activity| activity.tokens_rejected(now).is_some())
    }

    /// Records what the API server answered to a token of the profile. Returns whether that begins or ends a failure.
    pub(super) fn answered(&self, name: &ProfileName, is_accepted: bool, now: SystemTime) -> bool {
        let mut activities = self.activities();
        let rejections = &mut activities.entry(name.clone()).or_default().rejections;
        let was_rejected = rejections.is_certain();
        // One answer is certain.
        *rejections = if is_accepted {
            Rejections::default()
        } else {
            Rejections { count: CERTAIN_REJECTIONS, last: Some(now), unconfirmed: None }
        };
        log_change(name, was_rejected, rejections)
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

/// Logs the first rejection that is certain, and the end of the rejections. Returns whether it is one of them.
fn log_change(name: &ProfileName, was_rejected: bool, rejections: &Rejections) -> bool {
    match (was_rejected, rejections.is_certain()) {
        (false, true) => tracing::warn!(profile = %name, status = 401, "tokens rejected by the cluster"),
        (true, false) => tracing::info!(profile = %name, "token accepted by the cluster"),
        _ => return false,
    }
    true
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
        // One process is rejected, and then two others. After two it may still be a session that AWS revoked.
        assert!(!request(TokenPolicy::Shared, 0) && !request(TokenPolicy::NewSignature, 1));
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
        // One process that is rejected three times, and one that uses its token for a while.
        assert!(!request(TokenPolicy::NewSignature, 1002) && !request(TokenPolicy::NewSession, 1003));
        assert!(request(TokenPolicy::NewSession, 1004));
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
