//! Desktop notifications of logins that have expired or expire soon.
//!
//! Without them a login's end shows up in the next kubectl, which may run where the user does not read its error.

mod login_expiry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorClass, SourceName};
use tokio_util::sync::CancellationToken;

use super::config::ConfigService;
use super::event_bus::EventBus;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use super::source_logins::SourceLogins;
use crate::desktop_notifications::{Notification, Shown};
use crate::sessions::Sessions;
use login_expiry::{LoginKey, LoginState, Notice, NotifiedLogins};
use rolecall_core::clock::{Clock, next_minute};
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// How long further events are awaited after one, so that a burst is checked once.
const SETTLE_TIME: Duration = Duration::from_millis(250);

/// Watches the logins of profiles in use.
pub struct NoticeService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) source_logins: Arc<SourceLogins>,
    pub(crate) events: EventBus,
    pub(crate) clock: Clock,
}

impl NoticeService {
    /// Shows a notification for each login that expired or expires soon, until `stop`. Checks after each event and on each full
    /// minute.
    pub async fn notify<F>(&self, stop: CancellationToken, show: impl Fn(Notification) -> F)
    where
        F: Future<Output = Shown>,
    {
        let mut notified = NotifiedLogins::default();
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
                () = tokio::time::sleep_until(next_minute()) => false,
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
    fn due(&self, notified: &mut NotifiedLogins) -> Vec<Notice> {
        if self.lock.is_locked() {
            return Vec::new();
        }
        let settings = self.config.active().notifications;
        let now = self.clock.now();
        notified.due(&self.logins_in_use(now), settings, now, self.clock.stamp(now))
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
