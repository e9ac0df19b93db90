//! Locked, nothing is served and nothing is left; and it locks by itself.

use std::future::ready;
use std::time::Duration;

use rolecall_protocol::{ErrorCode, LockRequest, ProfileName, UnlockRequest};
use rolecalld::desktop_notifications::Shown;
use rolecalld::services::lock::Locker;
use tokio_util::sync::CancellationToken;

use crate::rig::{Mood, Rig, profiles};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const PASSPHRASE: &str = "correct horse";

fn first() -> LockRequest {
    LockRequest { passphrase: Some(PASSPHRASE.to_owned().into()), ..LockRequest::default() }
}

async fn lock(rig: &Rig) {
    let request = if rig.agent.status.status().daemon.lock.has_passphrase { LockRequest::default() } else { first() };
    assert!(rig.agent.lock.lock(request, Locker::default()).await.unwrap().locked);
}

async fn unlock(rig: &Rig) {
    let request = UnlockRequest { passphrase: PASSPHRASE.to_owned().into() };
    assert!(!rig.agent.lock.unlock(request, Locker::default()).await.unwrap().locked);
}

/// A rig that locks by itself, as far as `[lock]` says so.
async fn watched(lock: &str) -> (Rig, CancellationToken) {
    let rig = Rig::new(&format!("{}\n[lock]\n{lock}\n", profiles(1, "")));
    let request = LockRequest { only_set: true, ..first() };
    rig.agent.lock.lock(request, Locker::default()).await.unwrap();
    let (agent, stop) = (rig.agent.clone(), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move { agent.lock.auto_lock(stopped).await });
    (rig, stop)
}

fn is_locked(rig: &Rig) -> bool {
    rig.agent.status.status().daemon.lock.locked
}

#[tokio::test(start_paused = true)]
async fn locked_nothing_is_served_and_nothing_is_asked_of_aws() {
    let config = profiles(2, "");
    let rig = Rig::new(&config);
    let issued = rig.token("p0").await;
    let before = rig.good(issued);
    lock(&rig).await;
    let calls = rig.sts.count();
    let (p0, gone): (ProfileName, ProfileName) = ("p0".parse().unwrap(), "gone".parse().unwrap());
    let agent = &rig.agent;
    // Whatever else is wrong with it.
    for error in [
        rig.token("p0").await.err(),
        rig.token("p1").await.err(),
        agent.token.token(&p0, b"{", None).await.err(),
        agent.refresh.refresh(&p0).await.err(),
        agent.cluster.cluster(&p0).await.err(),
        agent.probe.probe(&p0, config.clone()).await.err(),
        agent.probe.probe(&p0, "no toml".to_owned()).await.err(),
        agent.lock.check_unlocked().err(),
    ] {
        let error = error.unwrap().0;
        assert_eq!((error.code, error.hint.as_deref()), (ErrorCode::Locked, Some("Run: rolecall unlock")));
        assert!(error.message.ends_with("the agent is locked"), "{error}");
    }
    assert_eq!(rig.token("p0").await.unwrap_err().0.message, "p0: the agent is locked");
    assert_eq!(agent.token.token(&gone, b"", None).await.unwrap_err().0.code, ErrorCode::UnknownProfile);
    // What shows and changes nothing goes on.
    let status = agent.status.status();
    assert!(status.daemon.lock.locked && status.daemon.lock.since.is_some());
    assert!(status.profiles.iter().all(|profile| profile.session.is_none() && profile.next_renewal.is_none()));
    assert!(agent.status.profile(&p0).is_ok() && agent.config.config_check(config).await.is_ok());
    rig.configure(&profiles(3, ""));
    assert_eq!(agent.status.status().profiles.len(), 3);
    // The engine has nothing to do, whatever happens.
    agent.recovery.system_changed();
    agent.recovery.sources_changed();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(rig.sts.count(), calls);

    unlock(&rig).await;
    let issued = rig.token("p0").await;
    let after = rig.good(issued);
    assert_ne!((after.key_id, after.url), (before.key_id, before.url), "a session and a token of their own");
    tokio::time::sleep(SECOND).await;
    assert!(agent.status.status().profiles[0].next_renewal.is_some(), "it is kept warm again");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_answered_at_once_and_lands_nowhere() {
    let rig = Rig::new(&profiles(3, ""));
    let issued = rig.token("p1").await;
    rig.good(issued);
    rig.sts.set(Mood::Silent);
    let begin = tokio::time::Instant::now();
    let locking = async {
        tokio::time::sleep(SECOND).await;
        lock(&rig).await;
    };
    let refresh = "p1".parse().unwrap();
    let (token, other, refreshed, ()) =
        tokio::join!(rig.token("p0"), rig.token("p2"), rig.agent.refresh.refresh(&refresh), locking);
    for error in [token.err(), other.err(), refreshed.err()] {
        assert_eq!(error.unwrap().0.code, ErrorCode::Locked);
    }
    assert!(begin.elapsed() < 2 * SECOND, "{:?}", begin.elapsed());
    rig.sts.set(Mood::Well);
    tokio::time::sleep(MINUTE).await;
    assert!(rig.agent.status.status().profiles.iter().all(|profile| profile.session.is_none()));
    unlock(&rig).await;
    // Nothing of what failed then is remembered against anybody.
    for name in ["p0", "p1", "p2"] {
        let issued = rig.token(name).await;
        rig.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_locked_passes_nothing_on_and_stays_locked() {
    let rig = Rig::new(&profiles(1, ""));
    let issued = rig.token("p0").await;
    let before = rig.good(issued);
    let unlocked = rig.agent.snapshot.take();
    lock(&rig).await;
    let kept = rig.agent.snapshot.take();
    let text = String::from_utf8(kept.expose().clone()).unwrap();
    assert!(!text.contains(&before.key_id) && text.contains("\"sessions\":[]"), "{text}");

    let next = Rig::new(&profiles(1, ""));
    next.agent.snapshot.restore(kept.expose()).unwrap();
    assert_eq!(next.token("p0").await.unwrap_err().0.code, ErrorCode::Locked);
    // And sessions that come from wherever are not taken in by one that is locked.
    lock(&rig).await;
    rig.agent.snapshot.restore(unlocked.expose()).unwrap();
    assert!(rig.agent.status.status().profiles[0].session.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_locks_when_it_is_not_used() {
    let (rig, _stop) = watched("idle = \"30min\"").await;
    for _ in 0..5 {
        let issued = rig.token("p0").await;
        rig.good(issued);
        tokio::time::sleep(29 * MINUTE).await;
        // Looking is no use.
        assert!(!is_locked(&rig));
    }
    let locks = rig.agent.status.status().daemon.lock.auto_lock_at.unwrap();
    assert_eq!(
        locks,
        jiff::Timestamp::try_from(rig.laptop.truth() + MINUTE).unwrap().round(jiff::Unit::Second).unwrap()
    );
    let mut events = rig.agent.events.events();
    events.next().await; // hello
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&rig));
    let told = tokio::time::timeout(SECOND, async {
        while events.next().await.unwrap().event != rolecall_protocol::EventKind::Lock {}
    });
    told.await.expect("whoever watches is told");
    unlock(&rig).await;
    let issued = rig.token("p0").await;
    rig.good(issued);
}

/// Only a request that serves a secret is a use: neither the minute tick of the notifications nor a status is.
#[tokio::test(start_paused = true)]
async fn idle_lock_ignores_notifications_and_status() {
    let (rig, stop) = watched("idle = \"30min\"").await;
    let issued = rig.token("p0").await;
    rig.good(issued);
    let agent = rig.agent.clone();
    tokio::spawn(async move { agent.login_expiry.notify(stop, |_| ready(Shown::Yes)).await });
    for _ in 0..29 {
        tokio::time::sleep(MINUTE).await;
        assert!(!is_locked(&rig));
        assert!(rig.agent.lock.check_unlocked().is_ok());
    }
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&rig));
}

#[tokio::test(start_paused = true)]
async fn it_locks_after_a_time_however_much_it_is_used() {
    let (rig, _stop) = watched("idle = \"30min\"\nmax = \"12h\"").await;
    for _ in 0..(12 * 60 - 1) {
        let issued = rig.token("p0").await;
        rig.good(issued);
        tokio::time::sleep(MINUTE).await;
    }
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&rig));
    // The time begins anew with each unlocking.
    unlock(&rig).await;
    tokio::time::sleep(29 * MINUTE).await;
    assert!(!is_locked(&rig));
}

#[tokio::test(start_paused = true)]
async fn after_a_nap_it_is_locked_before_anything_is_served() {
    for look in [0, 1, 2] {
        let (rig, _stop) = watched("idle = \"30min\"").await;
        let issued = rig.token("p0").await;
        rig.good(issued);
        let calls = rig.sts.count();
        rig.laptop.sleep(HOUR);
        match look {
            0 => assert_eq!(rig.token("p0").await.unwrap_err().0.code, ErrorCode::Locked),
            1 => rig.agent.recovery.system_changed(),
            // Nobody asks and nobody tells: the next look at the clock does it.
            _ => tokio::time::sleep(MINUTE + SECOND).await,
        }
        assert!(is_locked(&rig), "{look}");
        tokio::time::sleep(MINUTE).await;
        // The engine may have looked at the clock in the same moment; what it started_at has landed nowhere.
        assert!(rig.sts.count() <= calls + usize::from(look == 2), "{look}: renewed while it was locked");
        assert!(rig.agent.status.status().profiles[0].session.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_changes_nothing_of_when_it_locks() {
    let (rig, _stop) = watched("idle = \"30min\"").await;
    let issued = rig.token("p0").await;
    rig.good(issued);
    rig.laptop.set(jiff::SignedDuration::from_hours(-2));
    tokio::time::sleep(29 * MINUTE).await;
    assert!(!is_locked(&rig));
    rig.laptop.set(jiff::SignedDuration::from_hours(3));
    assert!(!is_locked(&rig));
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&rig));
}

#[tokio::test(start_paused = true)]
async fn other_times_are_gone_by_at_once() {
    let (rig, _stop) = watched("").await;
    tokio::time::sleep(HOUR).await;
    assert!(!is_locked(&rig) && rig.agent.status.status().daemon.lock.auto_lock_at.is_none());
    rig.configure(&format!("{}\n[lock]\nmax = \"1h30min\"\n", profiles(1, "")));
    tokio::time::sleep(30 * MINUTE + SECOND).await;
    assert!(is_locked(&rig));
}
