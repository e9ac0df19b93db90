//! Telling a person, unasked, that a login has ended or is about to: what depends on it would fail the next time, in some
//! window where nobody reads why.

mod dedup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorClass, LoginStatus, SourceName};
use tokio_util::sync::CancellationToken;

use super::{Agent, Profiles};
use crate::desktop_notifications::Notification;
use crate::desktop_notifications::Shown;
use dedup::{Key, Seen, Told};
use rolecall_core::clock::next_minute;
use rolecall_core::config::SourceConfig;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// What happens comes in crowds: they are looked at once.
const SETTLE: Duration = Duration::from_millis(250);

impl Agent {
    /// Tells of logins, until `stop`. Looks when something happens, and with everybody else who looks now and then.
    pub async fn warn<F>(&self, stop: CancellationToken, show: impl Fn(Notification) -> F)
    where
        F: Future<Output = Shown>,
    {
        let mut told = Told::default();
        let (mut landed, mut general) = (self.sessions.load_events(), self.general.subscribe());
        loop {
            for notice in self.due(&mut told) {
                if show(notice.notification()).await == Shown::Yes {
                    told.note(notice);
                }
            }
            let is_news = tokio::select! {
                () = stop.cancelled() => return,
                _ = landed.recv() => true,
                _ = general.recv() => true,
                () = tokio::time::sleep_until(next_minute()) => false,
            };
            if is_news {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(SETTLE) => {}
                }
                (landed, general) = (landed.resubscribe(), general.resubscribe());
            }
        }
    }

    /// What is to be told now: nothing while it is locked.
    fn due(&self, told: &mut Told) -> Vec<dedup::Notice> {
        self.lock_if_due();
        if self.lock.serving().is_none() {
            return Vec::new();
        }
        let asked = self.config.current().made.notifications;
        let now = self.now();
        told.due(&self.logins_in_use(now), asked, now, self.aws.clock().stamp(now))
    }

    /// What a status says of a login that ends soon.
    pub(super) fn warning_of(
        &self,
        profiles: &Profiles,
        name: &SourceName,
        source: &SourceConfig,
        login: Option<&LoginStatus>,
    ) -> Option<ErrorBody> {
        // No other's profiles take codes of their own, and there may be ten thousand.
        let all = source.mfa.is_some().then(|| profiles.values().map(Arc::as_ref));
        let of_source: Vec<&Profile> = all.into_iter().flatten().filter(|each| each.source_name == *name).collect();
        let now = self.now();
        let ends = self.end_of(login, &of_source, now)?;
        dedup::warning(name, ends, self.config.current().made.notifications.warn_before, self.aws.clock().stamp(now))
    }

    /// The logins that profiles depend on which are in use.
    fn logins_in_use(&self, now: SystemTime) -> Vec<Seen> {
        let all = self.profiles();
        let mut by_source: BTreeMap<&SourceName, Vec<&Profile>> = BTreeMap::new();
        for profile in all.values().filter(|profile| self.is_in_use(profile, now)) {
            by_source.entry(&profile.source_name).or_default().push(profile);
        }
        by_source.into_iter().filter_map(|(source, profiles)| self.see(source, &profiles, now)).collect()
    }

    fn is_in_use(&self, profile: &Profile, now: SystemTime) -> bool {
        let used = self.journal.of(&profile.name).used;
        // Used in the future means that the clock was set back.
        used.is_some_and(|used| now.duration_since(used).unwrap_or_default() < profile.keep_warm)
    }

    fn see(&self, source: &SourceName, profiles: &[&Profile], now: SystemTime) -> Option<Seen> {
        let base = profiles.first()?.chain.base();
        let coded = self.sessions.mfa_source(&base);
        let login = self.login_status(&base);
        let key = match (self.sessions.login_of(&base), &coded) {
            (Some(login), _) => Key::Login(login),
            (None, Some(coded)) => Key::Code(coded.clone()),
            (None, None) => Key::Source(source.clone()),
        };
        let mut chains = profiles.iter().map(|profile| &profile.chain).chain([&base]).chain(&coded);
        Some(Seen {
            key,
            source: source.clone(),
            has_ended: chains.any(|chain| self.needs_login(chain, now)),
            got: self.last_got(&base, profiles),
            until: login.as_ref().and_then(|login| login.ends),
            // With a clock in doubt nobody knows how near it is.
            ends: self.end_of(login.as_ref(), profiles, now).filter(|_| !self.aws.clock().is_uncertain()),
        })
    }

    fn needs_login(&self, chain: &RoleChain, now: SystemTime) -> bool {
        let known = self.sessions.peek(chain);
        // What a code gave is good until its end, although a new one would need a person by now.
        let lasts = chain.needs_interactive_mfa() && known.session.is_some_and(|session| session.is_usable(now));
        known.last_failure.is_some_and(|last_failure| last_failure.error.class() == ErrorClass::Login) && !lasts
    }

    /// When a person, or their login, last gave something. Of what builds on each other the oldest counts: the rest may have
    /// been got with it after the login had ended.
    fn last_got(&self, base: &RoleChain, profiles: &[&Profile]) -> Option<SystemTime> {
        let issued = |chain: &RoleChain| self.sessions.peek(chain).session.map(|session| session.issued);
        let below = self.sessions.dependencies(std::iter::once(base));
        let through_base = below.iter().filter(|chain| chain.is_base()).filter_map(issued).min();
        let by_code = profiles.iter().map(|profile| &profile.chain).filter(|chain| chain.mfa_in_assume_role());
        by_code.filter_map(issued).chain(through_base).max()
    }

    /// When the first thing ends that a person gave and nobody renews.
    fn end_of(&self, login: Option<&LoginStatus>, profiles: &[&Profile], now: SystemTime) -> Option<Timestamp> {
        let clock = self.aws.clock();
        let by_code = profiles.iter().map(|profile| &profile.chain);
        let by_code = by_code.filter(|chain| chain.mfa_in_assume_role() && chain.needs_interactive_mfa());
        let ends = by_code.filter_map(|chain| self.sessions.peek(chain).session?.expires());
        let ends = ends.filter(|end| *end > now).map(|end| clock.stamp(end));
        let of_login = login.filter(|login| !login.renews);
        ends.chain(of_login.and_then(|login| login.ends)).min()
    }
}
