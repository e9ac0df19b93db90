//! Desktop notifications of logins that have expired or expire soon, and of clusters that reject a profile (401).
//!
//! Without them the user learns it from the next kubectl, which may run where the user does not read its error.

mod login_expiry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorClass, Hint, ProfileName, SourceName};
use tokio_util::sync::CancellationToken;

use super::config::ConfigService;
use super::event_bus::EventBus;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use super::source_logins::SourceLogins;
use crate::desktop_notifications::{Notification, Shown};
use crate::sessions::Sessions;
use login_expiry::{LoginKey, LoginNotice, LoginState, NotifiedLogins};
use rolecall_core::clock::{Clock, next_tick};
use rolecall_core::config::notifications::Notifications;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// How long further events are awaited after one, so that a burst is checked once.
const SETTLE_TIME: Duration = Duration::from_millis(250);

/// Watches the logins and the rejections of profiles in use.
pub struct NoticeService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) source_logins: Arc<SourceLogins>,
    pub(crate) events: EventBus,
    pub(crate) clock: Clock,
}

/// A notification that is due.
enum Notice {
    Login(LoginNotice),
    /// The cluster rejects the profile.
    Rejected(ProfileName),
}

/// The notices that were shown.
#[derive(Default)]
struct Notified {
    logins: NotifiedLogins,
    /// The profiles whose rejection was shown, until their clusters accept a token.
    rejected: BTreeSet<ProfileName>,
}

impl Notice {
    fn notification(&self) -> Notification {
        match self {
            Self::Login(notice) => notice.notification(),
            Self::Rejected(profile) => Notification::new(
                &format!("Cluster rejects profile {profile} (401)"),
                &Hint::command(format!("rolecall doctor {profile}")).to_string(),
            ),
        }
    }
}

impl Notified {
    /// Returns the profiles whose rejection is due: once, and again if the cluster accepted a token in between.
    fn rejections_due(&mut self, rejected: &BTreeSet<ProfileName>, settings: Notifications) -> Vec<ProfileName> {
        self.rejected.retain(|name| rejected.contains(name));
        let due = rejected.difference(&self.rejected).filter(|_| settings.unauthorized);
        due.cloned().collect()
    }

    fn record(&mut self, notice: Notice) {
        match notice {
            Notice::Login(notice) => self.logins.record(notice),
            Notice::Rejected(profile) => drop(self.rejected.insert(profile)),
        }
    }
}

impl NoticeService {
    /// Shows a notification for each login that expired or expires soon, and for each rejected profile, until `stop`. Checks
    /// after each event and on each full minute.
    pub async fn notify<F>(&self, stop: CancellationToken, show: impl Fn(Notification) -> F)
    where
        F: Future<Output = Shown>,
    {
        let mut notified = Notified::default();
        let (mut loads, mut events) = (self.sessions.load_events(), self.events.subscribe());
        loop {
            for notice in self.due(&mut notified) {
                if show(notice.notification()).await == Shown::Yes {
                    notified.record(notice);
                }
            }
            let is_event = tokio::select! {
                () = stop.cancelled() => return,
                _ = loads.recv() => true,
                _ = events.recv() => true,
                () = tokio::time::sleep_until(next_tick()) => false,
            };
            if is_event {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(SETTLE_TIME) => {}
                }
                (loads, events) = (loads.resubscribe(), events.resubscribe());
            }
        }
    }

    /// Returns the notices that are due now; none while the agent is locked.
    fn due(&self, notified: &mut Notified) -> Vec<Notice> {
        if self.lock.is_locked() {
            return Vec::new();
        }
        let settings = self.config.active().notifications;
        let now = self.clock.now();
        let logins = notified.logins.due(&self.logins_in_use(now), settings, now, self.clock.stamp(now));
        let rejected = notified.rejections_due(&self.rejected_in_use(now), settings);
        logins.into_iter().map(Notice::Login).chain(rejected.into_iter().map(Notice::Rejected)).collect()
    }

    /// Returns the profiles in use that their clusters reject.
    fn rejected_in_use(&self, now: SystemTime) -> BTreeSet<ProfileName> {
        let all = self.config.profiles();
        let rejected = all.values().filter(|profile| self.activity.is_rejected(&profile.name, now));
        rejected.filter(|profile| self.is_in_use(profile, now)).map(|profile| profile.name.clone()).collect()
    }

    /// Returns the state of each login that a profile in use depends on.
    fn logins_in_use(&self, now: SystemTime) -> Vec<LoginState> {
        let all = self.config.profiles();
        let mut by_source: BTreeMap<&SourceName, Vec<&Profile>> = BTreeMap::new();
        for profile in all.values().filter(|profile| self.is_in_use(profile, now)) {
            by_source.entry(&profile.source_name).or_default().push(profile);
        }
        by_source.into_iter().filter_map(|(source, profiles)| self.login_state(source, &profiles, now)).collect()
    }

    fn is_in_use(&self, profile: &Profile, now: SystemTime) -> bool {
        let last_used = self.activity.last_used(&profile.name);
        // A use in the future means that the clock was set back.
        last_used.is_some_and(|used| now.duration_since(used).unwrap_or_default() < profile.keep_warm)
    }

    fn login_state(&self, source: &SourceName, profiles: &[&Profile], now: SystemTime) -> Option<LoginState> {
        let base = profiles.first()?.chain.base();
        let mfa_chain = self.sessions.mfa_source(&base);
        let login = self.source_logins.login_status(&base);
        let key = match (self.sessions.login_of(&base), &mfa_chain) {
            (Some(login), _) => LoginKey::Login(login),
            (None, Some(chain)) => LoginKey::MfaCode(chain.clone()),
            (None, None) => LoginKey::Source(source.clone()),
        };
        let mut chains = profiles.iter().map(|profile| &profile.chain).chain([&base]).chain(&mfa_chain);
        Some(LoginState {
            key,
            source: source.clone(),
            has_expired: chains.any(|chain| self.needs_login(chain, now)),
            issued: self.last_issued(&base, profiles),
            expires: login.as_ref().and_then(|login| login.ends),
            // While the clock is uncertain, the time that is left is unknown.
            expires_unrenewed: self
                .source_logins
                .expiry(login.as_ref(), profiles)
                .filter(|_| !self.clock.is_uncertain()),
        })
    }

    fn needs_login(&self, chain: &RoleChain, now: SystemTime) -> bool {
        let known = self.sessions.peek(chain);
        // A session of an MFA code is used until it expires, although its renewal fails before.
        let is_usable = chain.needs_interactive_mfa() && known.session.is_some_and(|session| session.is_usable(now));
        known.last_failure.is_some_and(|failure| failure.error.class() == ErrorClass::Login) && !is_usable
    }

    /// Returns when the user's login last gave credentials. Of chained sessions the oldest counts: the others may have been
    /// derived from it after the login expired.
    fn last_issued(&self, base: &RoleChain, profiles: &[&Profile]) -> Option<SystemTime> {
        let issued = |chain: &RoleChain| self.sessions.peek(chain).session.map(|session| session.issued);
        let dependencies = self.sessions.dependencies(std::iter::once(base));
        let of_base = dependencies.iter().filter(|chain| chain.is_base()).filter_map(issued).min();
        let by_code = profiles.iter().map(|profile| &profile.chain).filter(|chain| chain.mfa_in_assume_role());
        by_code.filter_map(issued).chain(of_base).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_is_due_once_until_a_token_is_accepted() {
        let mut notified = Notified::default();
        let usual = Notifications::default();
        let mut due = |rejected: &[&str], settings| {
            let rejected = rejected.iter().map(|name| name.parse().unwrap()).collect();
            let due = notified.rejections_due(&rejected, settings);
            for name in due.clone() {
                notified.record(Notice::Rejected(name));
            }
            due.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(due(&["prod"], Notifications { unauthorized: false, ..usual }).is_empty());
        assert_eq!(due(&["prod"], usual), ["prod"]);
        assert_eq!(due(&["prod", "test"], usual), ["test"]);
        assert!(due(&["test"], usual).is_empty());
        assert_eq!(due(&["prod", "test"], usual), ["prod"], "its cluster accepted a token in between");
        let notification = Notice::Rejected("prod".parse().unwrap()).notification();
        assert_eq!(notification.summary, "Cluster rejects profile prod (401)");
        assert_eq!(notification.body, "Run: rolecall doctor prod");
    }
}
