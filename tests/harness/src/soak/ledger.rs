//! Which sessions the daemon holds, as far as its answers show.
//!
//! A token proves that the daemon holds the session that signed it. Until that session ends, each call for the profile
//! has to succeed: a renewal that fails replaces nothing, and a restart keeps the sessions. A killed daemon, and a
//! machine whose clock was set forward, start without sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A session promises a token until this long before its end: a token ends a minute earlier than its session, and the
/// daemon knows AWS's time to a few seconds.
pub(super) const MARGIN: Duration = Duration::from_secs(70);

/// The sessions by profile.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// How often the daemon lost its sessions.
    losses: u64,
    expiries: HashMap<&'static str, SystemTime>,
}

/// What the daemon held when a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    losses: u64,
    expires: Option<SystemTime>,
}

impl Ledger {
    /// Returns the promise for a call that begins now.
    pub(super) fn promise(&self, profile: &str) -> Promise {
        let held = self.held();
        Promise { losses: held.losses, expires: held.expiries.get(profile).copied() }
    }

    /// Records the session of an answer, unless the daemon lost its sessions since the call began.
    pub(super) fn record(&self, profile: &'static str, promise: Promise, expires: SystemTime) {
        let mut held = self.held();
        if held.losses == promise.losses {
            held.expiries.insert(profile, expires);
        }
    }

    /// Returns when the session ends that promises a token for a call that has ended, by AWS's clock.
    pub(super) fn broken(&self, promise: Promise, ended_at: SystemTime) -> Option<SystemTime> {
        let is_kept = self.held().losses == promise.losses;
        promise.expires.filter(|expires| is_kept && ended_at + MARGIN <= *expires)
    }

    /// Records that the daemon loses its sessions. Call it before that.
    pub(super) fn lose_all(&self) {
        let mut held = self.held();
        held.losses += 1;
        held.expiries.clear();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn session_promises_a_token_until_its_margin_or_a_loss() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let ledger = Ledger::default();
        let cold = ledger.promise("prod");
        assert_eq!(ledger.broken(cold, at(0)), None);
        ledger.record("prod", cold, at(100));
        let warm = ledger.promise("prod");
        assert_eq!(ledger.broken(warm, at(30)), Some(at(100)));
        assert_eq!(ledger.broken(warm, at(31)), None);
        assert_eq!(ledger.broken(ledger.promise("other"), at(0)), None);
        ledger.lose_all();
        assert_eq!(ledger.broken(warm, at(0)), None);
        // The answer to a call from before the loss proves nothing.
        ledger.record("prod", warm, at(100));
        assert_eq!(ledger.broken(ledger.promise("prod"), at(0)), None);
    }
}
