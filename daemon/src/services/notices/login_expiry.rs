//! Which notices of logins are due, given the state of the logins and the notices that were shown before.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rolecall_protocol::{Hint, SourceName};

use crate::desktop_notifications::Notification;
use crate::services::source_logins::minutes_left;
use rolecall_aws::source::Login;
use rolecall_core::config::notifications::Notifications;
use rolecall_core::role_chain::RoleChain;

/// Two expiry times that differ by less are the same login's: the clock is corrected in between.
const EXPIRY_TOLERANCE: Duration = Duration::from_mins(1);

/// What the user logs in to. Several sources may share one login, which then has one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoginKey {
    /// A login.
    Login(Login),
    /// A session that an MFA code is given for.
    MfaCode(RoleChain),
    /// A source whose login is unknown.
    Source(SourceName),
}

/// The state of a login that a profile in use depends on. A [`SystemTime`] is AWS's, a [`Timestamp`] this machine's.
#[derive(Debug, Clone)]
pub(super) struct LoginState {
    pub(super) key: LoginKey,
    /// The source to log in to.
    pub(super) source: SourceName,
    /// Whether the user has to log in.
    pub(super) has_expired: bool,
    /// When the login last gave credentials.
    pub(super) issued: Option<SystemTime>,
    /// When the login expires or has expired, if that is known.
    pub(super) expires: Option<Timestamp>,
    /// When it expires, if only the user can renew it.
    pub(super) expires_unrenewed: Option<Timestamp>,
}

/// A notification that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginNotice {
    key: LoginKey,
    source: SourceName,
    kind: NoticeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoticeKind {
    Expired { noticed: SystemTime, expires: Option<Timestamp> },
    ExpiresSoon { at: Timestamp, minutes: u64 },
}

/// The notices that were shown, for each login.
#[derive(Debug, Default)]
pub(super) struct NotifiedLogins(Vec<(LoginKey, ShownNotices)>);

#[derive(Debug, Default)]
struct ShownNotices {
    /// When the notice of the expiry was shown, and the expiry time that was known then.
    expired: Option<(SystemTime, Option<Timestamp>)>,
    /// The expiry time of the last notice that it is near.
    expires_soon: Option<Timestamp>,
}

impl NotifiedLogins {
    /// Returns the notices that are due. An expiry is due once, and again if the login was valid in between.
    pub(super) fn due(
        &mut self,
        logins: &[LoginState],
        settings: Notifications,
        now: SystemTime,
        local: Timestamp,
    ) -> Vec<LoginNotice> {
        let mut due: Vec<LoginNotice> = Vec::new();
        for login in logins {
            let shown = self.0.iter_mut().find(|(key, _)| key.is_same_login(&login.key)).map(|(_, shown)| shown);
            let shown = shown.map(|shown| {
                shown.expired = shown.expired.filter(|notice| !login.was_valid_since(*notice));
                &*shown
            });
            let is_listed = due.iter().any(|other| other.key.is_same_login(&login.key));
            if settings.login
                && !is_listed
                && let Some(kind) = login.notice(shown, settings, now, local)
            {
                due.push(LoginNotice { key: login.key.clone(), source: login.source.clone(), kind });
            }
        }
        due
    }

    /// Records that a notice was shown.
    pub(super) fn record(&mut self, notice: LoginNotice) {
        let LoginNotice { key, kind, .. } = notice;
        let mut shown = match self.0.iter().position(|(known, _)| known.is_same_login(&key)) {
            Some(place) => self.0.swap_remove(place).1,
            None => ShownNotices::default(),
        };
        match kind {
            NoticeKind::Expired { noticed, expires } => shown.expired = Some((noticed, expires)),
            NoticeKind::ExpiresSoon { at, .. } => shown.expires_soon = Some(at),
        }
        self.0.push((key, shown));
    }
}

impl LoginKey {
    fn is_same_login(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Login(ours), Self::Login(theirs)) => ours.is_shared_with(theirs),
            (ours, theirs) => ours == theirs,
        }
    }
}

impl LoginState {
    /// Whether the user logged in after a notice, even if that login has expired too.
    fn was_valid_since(&self, (noticed, expires): (SystemTime, Option<Timestamp>)) -> bool {
        self.issued.is_some_and(|issued| issued > noticed)
            || self.expires.zip(expires).is_some_and(|(newer, older)| is_later(newer, older))
    }

    fn notice(
        &self,
        shown: Option<&ShownNotices>,
        settings: Notifications,
        now: SystemTime,
        local: Timestamp,
    ) -> Option<NoticeKind> {
        if self.has_expired {
            let is_shown = shown.is_some_and(|shown| shown.expired.is_some());
            return (!is_shown).then_some(NoticeKind::Expired { noticed: now, expires: self.expires });
        }
        let at = self.expires_unrenewed?;
        let minutes = minutes_left(at, local, settings.warn_before)?;
        let is_new = shown.and_then(|shown| shown.expires_soon).is_none_or(|before| is_later(at, before));
        is_new.then_some(NoticeKind::ExpiresSoon { at, minutes })
    }
}

impl LoginNotice {
    /// Returns the notice as the desktop shows it.
    pub(super) fn notification(&self) -> Notification {
        let source = &self.source;
        let (summary, option) = match self.kind {
            NoticeKind::Expired { .. } => (format!("Login needed: source {source}"), ""),
            NoticeKind::ExpiresSoon { minutes, .. } => {
                (format!("Login expires in {minutes} min: source {source}"), " --renew")
            }
        };
        Notification::new(&summary, &Hint::command(format!("rolecall login {source}{option}")).to_string())
    }
}

fn is_later(newer: Timestamp, older: Timestamp) -> bool {
    Duration::try_from(newer.duration_since(older)).is_ok_and(|later| later > EXPIRY_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Notifications =
        Notifications { login: true, unauthorized: true, warn_before: Duration::from_mins(15) };

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_mins(minutes)
    }

    fn local(minutes: u64) -> Timestamp {
        at(minutes).try_into().unwrap()
    }

    fn valid(issued: u64) -> LoginState {
        let source: SourceName = "work".parse().unwrap();
        let key = LoginKey::Source(source.clone());
        LoginState { key, source, has_expired: false, issued: Some(at(issued)), expires: None, expires_unrenewed: None }
    }

    fn expired() -> LoginState {
        LoginState { has_expired: true, issued: None, ..valid(0) }
    }

    fn expiring(minutes: u64) -> LoginState {
        LoginState { expires: Some(local(minutes)), expires_unrenewed: Some(local(minutes)), ..valid(0) }
    }

    fn sso(source: &str, profile: &str) -> LoginState {
        let session = rolecall_aws::sso::SsoSession {
            profile: profile.to_owned(),
            name: Some("corp".to_owned()),
            start_url: "https://corp.awsapps.com/start".to_owned(),
            region: "eu-west-1".parse().unwrap(),
            scopes: vec![],
        };
        LoginState { key: LoginKey::Login(Login::Sso(session)), source: source.parse().unwrap(), ..expired() }
    }

    /// Shows the notices that are due in that minute, and returns their summaries.
    fn summaries(
        notified: &mut NotifiedLogins,
        minute: u64,
        logins: &[LoginState],
        settings: Notifications,
    ) -> Vec<String> {
        let due = notified.due(logins, settings, at(minute), local(minute));
        due.into_iter()
            .map(|notice| {
                let summary = notice.notification().summary;
                notified.record(notice);
                summary
            })
            .collect()
    }

    #[test]
    fn expiry_is_shown_again_after_a_valid_login() {
        let mut all = NotifiedLogins::default();
        let mut shown = |minute, seen| summaries(&mut all, minute, &[seen], USUAL);
        assert_eq!(shown(10, expired()), ["Login needed: source work"]);
        assert!(shown(11, expired()).is_empty());
        // A cleared failure, or credentials from before the notice, do not make the login valid.
        assert!(shown(12, LoginState { issued: None, ..valid(0) }).is_empty());
        assert!(shown(13, valid(9)).is_empty());
        assert!(shown(14, expired()).is_empty());
        assert!(shown(20, valid(20)).is_empty());
        assert_eq!(shown(30, expired()).len(), 1);
        // Credentials that were issued between two checks.
        assert_eq!(shown(99, LoginState { issued: Some(at(40)), ..expired() }).len(), 1);
        assert!(shown(100, LoginState { issued: Some(at(40)), ..expired() }).is_empty());
    }

    #[test]
    fn later_expiry_is_a_new_login() {
        let mut all = NotifiedLogins::default();
        let mut shown = |minute, until| {
            summaries(&mut all, minute, &[LoginState { expires: Some(local(until)), ..expired() }], USUAL)
        };
        assert_eq!(shown(10, 9).len(), 1);
        assert!(shown(20, 9).is_empty());
        assert_eq!(shown(200, 190).len(), 1);
        assert!(shown(201, 190).is_empty());
    }

    #[test]
    fn near_expiry_is_shown_once() {
        let mut all = NotifiedLogins::default();
        let mut shown = |minute, seen| summaries(&mut all, minute, &[seen], USUAL);
        assert!(shown(10, expiring(26)).is_empty());
        assert_eq!(shown(11, expiring(26)), ["Login expires in 15 min: source work"]);
        assert!(shown(12, expiring(26)).is_empty());
        let corrected = local(26) + jiff::SignedDuration::from_secs(7);
        assert!(shown(13, LoginState { expires_unrenewed: Some(corrected), ..expiring(26) }).is_empty());
        // The expiry itself has a notice too.
        assert_eq!(shown(26, LoginState { has_expired: true, ..expiring(26) }), ["Login needed: source work"]);
        assert!(shown(27, expiring(26)).is_empty());
        assert_eq!(shown(90, expiring(99)), ["Login expires in 9 min: source work"]);
    }

    #[test]
    fn renewed_login_has_no_notice() {
        let renewed = LoginState { expires_unrenewed: None, ..expiring(20) };
        assert!(summaries(&mut NotifiedLogins::default(), 19, &[renewed], USUAL).is_empty());
    }

    #[test]
    fn shared_login_has_one_notice() {
        let mut all = NotifiedLogins::default();
        let mut shown = |minute, seen: &[LoginState]| summaries(&mut all, minute, seen, USUAL);
        assert_eq!(shown(1, &[sso("a", "one"), sso("b", "two"), expired()]).len(), 2);
        assert!(shown(2, &[sso("b", "two"), expired()]).is_empty());
    }

    #[test]
    fn disabled_notifications_are_not_shown() {
        let never = Notifications { login: false, ..USUAL };
        let mut all = NotifiedLogins::default();
        assert!(summaries(&mut all, 1, &[expired()], never).is_empty());
        assert!(summaries(&mut all, 1, &[expiring(9)], never).is_empty());
        assert_eq!(summaries(&mut all, 1, &[expired()], USUAL).len(), 1, "enabled later");
        let late = Notifications { warn_before: Duration::ZERO, ..USUAL };
        assert!(summaries(&mut NotifiedLogins::default(), 1, &[expiring(2)], late).is_empty());
    }

    #[test]
    fn unshown_notice_stays_due() {
        let mut all = NotifiedLogins::default();
        for minute in 1..3 {
            assert_eq!(all.due(&[expired()], USUAL, at(minute), local(minute)).len(), 1);
        }
    }

    #[test]
    fn notification_names_the_command() {
        let due = NotifiedLogins::default().due(&[expired(), sso("corp", "x")], USUAL, at(1), local(1));
        assert_eq!(due[1].notification().body, "Run: rolecall login corp");
        let due = NotifiedLogins::default().due(&[expiring(9)], USUAL, at(1), local(1));
        assert_eq!(due[0].notification().body, "Run: rolecall login work --renew");
    }
}
