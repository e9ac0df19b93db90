//! What is to be told, from what is known and what was told already.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, SourceName};

use crate::desktop_notifications::Notification;
use rolecall_aws::source::Login;
use rolecall_core::config::notifications::Notifications;
use rolecall_core::role_chain::RoleChain;

/// Ends that differ by less are one: clocks are corrected.
const SAME_END: Duration = Duration::from_mins(1);

/// What a person logs in to. Several sources may share it, and it is one login then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A login.
    Login(Login),
    /// What a code is given for.
    Code(RoleChain),
    /// The source itself: no more is known.
    Source(SourceName),
}

/// A login that a profile in use depends on, as it is now. Times are AWS's; a [`Timestamp`] is this machine's.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) key: Key,
    /// The source by which a person logs in to it.
    pub(super) source: SourceName,
    /// Whether somebody has to log in.
    pub(super) has_ended: bool,
    /// When what it gave last was got, if it gave anything.
    pub(super) got: Option<SystemTime>,
    /// When it ends, or has ended, as far as that is known.
    pub(super) until: Option<Timestamp>,
    /// When it ends and nobody renews it.
    pub(super) ends: Option<Timestamp>,
}

/// What is to be told of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    key: Key,
    source: SourceName,
    news: News,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Ended { at: SystemTime, until: Option<Timestamp> },
    Ends { at: Timestamp, minutes: u64 },
}

/// What was told, a login each.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(Key, Entry)>);

#[derive(Debug, Default)]
struct Entry {
    /// That it has ended: when that was told, and the end that was known then.
    ended: Option<(SystemTime, Option<Timestamp>)>,
    /// That it ends then.
    ends: Option<Timestamp>,
}

impl Told {
    /// What is to be told now. What was good since it was told may be told again when it ends again.
    pub(super) fn due(
        &mut self,
        seen: &[Seen],
        asked: Notifications,
        now: SystemTime,
        local: Timestamp,
    ) -> Vec<Notice> {
        let mut due: Vec<Notice> = Vec::new();
        for seen in seen {
            let known = self.0.iter_mut().find(|(key, _)| key.is(&seen.key)).map(|(_, entry)| entry);
            let told = known.map(|entry| {
                entry.ended = entry.ended.filter(|told| !seen.was_good_since(*told));
                &*entry
            });
            let news = seen.news(told, asked, now, local);
            if let Some(news) = news.filter(|_| asked.login && due.iter().all(|other| !other.key.is(&seen.key))) {
                due.push(Notice { key: seen.key.clone(), source: seen.source.clone(), news });
            }
        }
        due
    }

    /// Notes that it was told.
    pub(super) fn note(&mut self, notice: Notice) {
        let Notice { key, news, .. } = notice;
        let found = self.0.iter().position(|(known, _)| known.is(&key));
        let place = found.unwrap_or_else(|| {
            self.0.push((key, Entry::default()));
            self.0.len() - 1
        });
        if let Some((_, entry)) = self.0.get_mut(place) {
            match news {
                News::Ended { at, until } => entry.ended = Some((at, until)),
                News::Ends { at, .. } => entry.ends = Some(at),
            }
        }
    }
}

impl Key {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Login(ours), Self::Login(theirs)) => ours.is_shared_with(theirs),
            (ours, theirs) => ours == theirs,
        }
    }
}

impl Seen {
    /// Whether somebody logged in after it was told, however long ago that is now.
    fn was_good_since(&self, (at, until): (SystemTime, Option<Timestamp>)) -> bool {
        self.got.is_some_and(|got| got > at)
            || self.until.zip(until).is_some_and(|(newer, older)| is_later(newer, older))
    }

    fn news(&self, told: Option<&Entry>, asked: Notifications, now: SystemTime, local: Timestamp) -> Option<News> {
        if self.has_ended {
            let is_told = told.is_some_and(|entry| entry.ended.is_some());
            return (!is_told).then_some(News::Ended { at: now, until: self.until });
        }
        let at = self.ends?;
        let minutes = minutes_left(at, local, asked.warn_before)?;
        let is_new = told.and_then(|entry| entry.ends).is_none_or(|before| is_later(at, before));
        is_new.then_some(News::Ends { at, minutes })
    }
}

impl Notice {
    /// As the desktop shows it.
    pub(super) fn notification(&self) -> Notification {
        let source = &self.source;
        let (summary, more) = match self.news {
            News::Ended { .. } => (format!("Login needed: source {source}"), ""),
            News::Ends { minutes, .. } => (format!("Login ends in {minutes} min: source {source}"), " --renew"),
        };
        Notification::new(&summary, &format!("Run: rolecall login {source}{more}"))
    }
}

/// The same as a status has it: that the login of a source ends soon.
pub(super) fn warning(source: &SourceName, ends: Timestamp, early: Duration, local: Timestamp) -> Option<ErrorBody> {
    let minutes = minutes_left(ends, local, early)?;
    let body = ErrorBody::new(ErrorCode::LoginNeeded, format!("source \"{source}\": its login ends in {minutes} min"));
    Some(body.hint(format!("Run: rolecall login {source} --renew")))
}

/// Minutes, begun ones too, until an end that is so near that it is told.
fn minutes_left(ends: Timestamp, local: Timestamp, early: Duration) -> Option<u64> {
    let left = Duration::try_from(ends.duration_since(local)).ok()?;
    (!left.is_zero() && left <= early).then(|| left.as_secs().div_ceil(60))
}

fn is_later(newer: Timestamp, older: Timestamp) -> bool {
    Duration::try_from(newer.duration_since(older)).is_ok_and(|later| later > SAME_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Notifications = Notifications { login: true, warn_before: Duration::from_mins(15) };

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_mins(minutes)
    }

    fn local(minutes: u64) -> Timestamp {
        at(minutes).try_into().unwrap()
    }

    fn good(got: u64) -> Seen {
        let source: SourceName = "work".parse().unwrap();
        let key = Key::Source(source.clone());
        Seen { key, source, has_ended: false, got: Some(at(got)), until: None, ends: None }
    }

    fn ended() -> Seen {
        Seen { has_ended: true, got: None, ..good(0) }
    }

    fn ending(minutes: u64) -> Seen {
        Seen { until: Some(local(minutes)), ends: Some(local(minutes)), ..good(0) }
    }

    fn sso(source: &str, profile: &str) -> Seen {
        let session = rolecall_aws::sso::SsoSession {
            profile: profile.to_owned(),
            name: Some("corp".to_owned()),
            start_url: "https://corp.awsapps.com/start".to_owned(),
            region: "eu-west-1".parse().unwrap(),
            scopes: vec![],
        };
        Seen { key: Key::Login(Login::Sso(session)), source: source.parse().unwrap(), ..ended() }
    }

    /// Summaries of what is told in that minute.
    fn told(told: &mut Told, minute: u64, seen: &[Seen], asked: Notifications) -> Vec<String> {
        let due = told.due(seen, asked, at(minute), local(minute));
        due.into_iter()
            .map(|notice| {
                let summary = notice.notification().summary;
                told.note(notice);
                summary
            })
            .collect()
    }

    #[test]
    fn an_end_is_told_once_and_again_when_it_was_good_in_between() {
        let mut all = Told::default();
        let mut tell = |minute, seen| told(&mut all, minute, &[seen], USUAL);
        assert_eq!(tell(10, ended()), ["Login needed: source work"]);
        assert!(tell(11, ended()).is_empty());
        // Neither a failure that is forgotten nor what it gave before makes it good.
        assert!(tell(12, Seen { got: None, ..good(0) }).is_empty());
        assert!(tell(13, good(9)).is_empty());
        assert!(tell(14, ended()).is_empty());
        assert!(tell(20, good(20)).is_empty());
        assert_eq!(tell(30, ended()).len(), 1);
        // Nobody looked meanwhile: what it has left tells that it was.
        assert_eq!(tell(99, Seen { got: Some(at(40)), ..ended() }).len(), 1);
        assert!(tell(100, Seen { got: Some(at(40)), ..ended() }).is_empty());
    }

    #[test]
    fn another_end_is_another_login() {
        let mut all = Told::default();
        let mut tell = |minute, until| told(&mut all, minute, &[Seen { until: Some(local(until)), ..ended() }], USUAL);
        assert_eq!(tell(10, 9).len(), 1);
        assert!(tell(20, 9).is_empty());
        assert_eq!(tell(200, 190).len(), 1);
        assert!(tell(201, 190).is_empty());
    }

    #[test]
    fn an_end_that_is_near_is_told_once() {
        let mut all = Told::default();
        let mut tell = |minute, seen| told(&mut all, minute, &[seen], USUAL);
        assert!(tell(10, ending(26)).is_empty());
        assert_eq!(tell(11, ending(26)), ["Login ends in 15 min: source work"]);
        assert!(tell(12, ending(26)).is_empty());
        let corrected = local(26) + jiff::SignedDuration::from_secs(7);
        assert!(tell(13, Seen { ends: Some(corrected), ..ending(26) }).is_empty());
        // The end itself is news, once.
        assert_eq!(tell(26, Seen { has_ended: true, ..ending(26) }), ["Login needed: source work"]);
        assert!(tell(27, ending(26)).is_empty());
        assert_eq!(tell(90, ending(99)), ["Login ends in 9 min: source work"]);
    }

    #[test]
    fn what_is_renewed_is_no_news() {
        let renewed = Seen { ends: None, ..ending(20) };
        assert!(told(&mut Told::default(), 19, &[renewed], USUAL).is_empty());
    }

    #[test]
    fn sources_that_share_a_login_share_its_end() {
        let mut all = Told::default();
        let mut tell = |minute, seen: &[Seen]| told(&mut all, minute, seen, USUAL);
        assert_eq!(tell(1, &[sso("a", "one"), sso("b", "two"), ended()]).len(), 2);
        assert!(tell(2, &[sso("b", "two"), ended()]).is_empty());
    }

    #[test]
    fn a_person_may_not_want_to_know() {
        let never = Notifications { login: false, ..USUAL };
        let mut all = Told::default();
        assert!(told(&mut all, 1, &[ended()], never).is_empty());
        assert!(told(&mut all, 1, &[ending(9)], never).is_empty());
        assert_eq!(told(&mut all, 1, &[ended()], USUAL).len(), 1, "now they do");
        let late = Notifications { warn_before: Duration::ZERO, ..USUAL };
        assert!(told(&mut Told::default(), 1, &[ending(2)], late).is_empty());
    }

    #[test]
    fn what_could_not_be_shown_is_due_still() {
        let mut all = Told::default();
        for minute in 1..3 {
            assert_eq!(all.due(&[ended()], USUAL, at(minute), local(minute)).len(), 1);
        }
    }

    #[test]
    fn a_status_says_the_same() {
        let source = "work".parse().unwrap();
        let said = warning(&source, local(20), USUAL.warn_before, local(8)).unwrap();
        assert_eq!(said.to_string(), "source \"work\": its login ends in 12 min. Run: rolecall login work --renew");
        for (minute, early) in [(4, USUAL.warn_before), (20, USUAL.warn_before), (8, Duration::ZERO)] {
            assert_eq!(warning(&source, local(20), early, local(minute)), None, "{minute}");
        }
    }

    #[test]
    fn a_notification_says_what_to_run() {
        let due = Told::default().due(&[ended(), sso("corp", "x")], USUAL, at(1), local(1));
        assert_eq!(due[1].notification().body, "Run: rolecall login corp");
        let due = Told::default().due(&[ending(9)], USUAL, at(1), local(1));
        assert_eq!(due[0].notification().body, "Run: rolecall login work --renew");
    }
}
