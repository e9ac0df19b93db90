//! The lock: a locked agent serves nothing and keeps no session. It also locks automatically.

use std::future::ready;
use std::time::Duration;

use rolecall_protocol::{EntryProof, ErrorCode, Hint, LockRequest, ProfileName, UnlockRequest};
use rolecalld::desktop_notifications::Shown;
use rolecalld::services::lock::Locker;
use rolecalld::services::snapshot::SnapshotScope;
use tokio_util::sync::CancellationToken;

use crate::simulation::{Mood, Simulation, profiles};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const PASSPHRASE: &str = "correct horse";

fn first() -> LockRequest {
    LockRequest { passphrase: Some(PASSPHRASE.to_owned().into()), ..LockRequest::default() }
}

async fn lock(simulation: &Simulation) {
    let request =
        if simulation.agent.status.status().daemon.lock.has_passphrase { LockRequest::default() } else { first() };
    assert!(simulation.agent.lock.lock(request, Locker::default()).await.unwrap().locked);
}

async fn unlock(simulation: &Simulation) {
    let request = UnlockRequest { passphrase: PASSPHRASE.to_owned().into() };
    assert!(!simulation.agent.lock.unlock(request, Locker::default()).await.unwrap().locked);
}

/// A simulation whose agent locks automatically by `[lock]`.
async fn watched(lock: &str) -> (Simulation, CancellationToken) {
    let simulation = Simulation::new(&format!("{}\n[lock]\n{lock}\n", profiles(1, "")));
    let request = LockRequest { only_set: true, ..first() };
    simulation.agent.lock.lock(request, Locker::default()).await.unwrap();
    let (agent, stop) = (simulation.agent.clone(), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move { agent.lock.auto_lock(stopped).await });
    (simulation, stop)
}

fn is_locked(simulation: &Simulation) -> bool {
    simulation.agent.status.status().daemon.lock.locked
}

#[tokio::test(start_paused = true)]
async fn locked_agent_serves_nothing_and_calls_nothing() {
    let config = profiles(2, "");
    let simulation = Simulation::new(&config);
    let issued = simulation.token("p0").await;
    let before = simulation.good(issued);
    lock(&simulation).await;
    let calls = simulation.sts.count();
    let (p0, gone): (ProfileName, ProfileName) = ("p0".parse().unwrap(), "gone".parse().unwrap());
    let agent = &simulation.agent;
    // The lock's error comes before any other.
    for error in [
        simulation.token("p0").await.err(),
        simulation.token("p1").await.err(),
        agent.token.token(&p0, b"{", &EntryProof::Terminal, None).await.err(),
        agent.credentials.credentials(&p0, None).await.err(),
        agent.profiles.refresh(&p0).await.err(),
        agent.profiles.cluster(&p0).await.err(),
        agent.probe.probe(&p0, config.clone()).await.err(),
        agent.probe.probe(&p0, "no toml".to_owned()).await.err(),
        agent.lock.check_unlocked().err(),
    ] {
        let error = error.unwrap().0;
        assert_eq!((error.code, error.hint.clone()), (ErrorCode::Locked, Some(Hint::command("rolecall unlock"))));
        assert!(error.message.ends_with("the agent is locked"), "{error}");
    }
    assert_eq!(simulation.token("p0").await.unwrap_err().0.message, "p0: the agent is locked");
    assert_eq!(
        agent.token.token(&gone, b"", &EntryProof::Terminal, None).await.unwrap_err().0.code,
        ErrorCode::UnknownProfile
    );
    // Requests that only show state are served.
    let status = agent.status.status();
    assert!(status.daemon.lock.locked && status.daemon.lock.since.is_some());
    assert!(status.profiles.iter().all(|profile| profile.session.is_none() && profile.next_renewal.is_none()));
    assert!(agent.status.profile(&p0).is_ok() && agent.config.config_check(config).await.is_ok());
    simulation.configure(&profiles(3, ""));
    assert_eq!(agent.status.status().profiles.len(), 3);
    // The renewal task makes no call.
    agent.recovery.system_changed();
    agent.recovery.system_changed();
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(simulation.sts.count(), calls);

    unlock(&simulation).await;
    let issued = simulation.token("p0").await;
    let after = simulation.good(issued);
    assert_ne!((after.key_id, after.url), (before.key_id, before.url), "a new session and a new token");
    tokio::time::sleep(SECOND).await;
    assert!(agent.status.status().profiles[0].next_renewal.is_some(), "it is kept warm again");
}

#[tokio::test(start_paused = true)]
async fn lock_cancels_in_flight_loads() {
    let simulation = Simulation::new(&profiles(3, ""));
    let issued = simulation.token("p1").await;
    simulation.good(issued);
    simulation.sts.set(Mood::Silent);
    let begin = tokio::time::Instant::now();
    let locking = async {
        tokio::time::sleep(SECOND).await;
        lock(&simulation).await;
    };
    let refresh = "p1".parse().unwrap();
    let (token, other, refreshed, ()) = tokio::join!(
        simulation.token("p0"),
        simulation.token("p2"),
        simulation.agent.profiles.refresh(&refresh),
        locking
    );
    for error in [token.err(), other.err(), refreshed.err()] {
        assert_eq!(error.unwrap().0.code, ErrorCode::Locked);
    }
    assert!(begin.elapsed() < 2 * SECOND, "{:?}", begin.elapsed());
    simulation.sts.set(Mood::Well);
    tokio::time::sleep(MINUTE).await;
    assert!(simulation.agent.status.status().profiles.iter().all(|profile| profile.session.is_none()));
    unlock(&simulation).await;
    // The cancelled loads leave no failure.
    for name in ["p0", "p1", "p2"] {
        let issued = simulation.token(name).await;
        simulation.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn restart_while_locked_keeps_no_sessions_and_stays_locked() {
    let simulation = Simulation::new(&profiles(1, ""));
    let issued = simulation.token("p0").await;
    let before = simulation.good(issued);
    let unlocked = simulation.agent.snapshot.take(SnapshotScope::AllSessions);
    lock(&simulation).await;
    let kept = simulation.agent.snapshot.take(SnapshotScope::AllSessions);
    let text = String::from_utf8(kept.expose().clone()).unwrap();
    assert!(!text.contains(&before.key_id) && text.contains("\"sessions\":[]"), "{text}");

    let next = Simulation::new(&profiles(1, ""));
    next.agent.snapshot.restore(kept.expose()).unwrap();
    assert_eq!(next.token("p0").await.unwrap_err().0.code, ErrorCode::Locked);
    // A locked agent restores no sessions.
    lock(&simulation).await;
    simulation.agent.snapshot.restore(unlocked.expose()).unwrap();
    assert!(simulation.agent.status.status().profiles[0].session.is_none());
}

#[tokio::test(start_paused = true)]
async fn auto_lock_when_idle() {
    let (simulation, _stop) = watched("idle = \"30min\"").await;
    for _ in 0..5 {
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        tokio::time::sleep(29 * MINUTE).await;
        // Reading the status does not count as a use.
        assert!(!is_locked(&simulation));
    }
    let locks = simulation.agent.status.status().daemon.lock.auto_lock_at.unwrap();
    assert_eq!(
        locks,
        jiff::Timestamp::try_from(simulation.laptop.truth() + MINUTE).unwrap().round(jiff::Unit::Second).unwrap()
    );
    let mut events = simulation.agent.events.events();
    events.next().await; // hello
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&simulation));
    let notified = tokio::time::timeout(SECOND, async {
        while events.next().await.unwrap().event != rolecall_protocol::EventKind::Lock {}
    });
    notified.await.expect("the watcher gets an event");
    unlock(&simulation).await;
    let issued = simulation.token("p0").await;
    simulation.good(issued);
}

/// Only a request that serves a secret is a use: neither the minute tick of the notifications nor a status is.
#[tokio::test(start_paused = true)]
async fn idle_lock_ignores_notifications_and_status() {
    let (rig, stop) = watched("idle = \"30min\"").await;
    let issued = rig.token("p0").await;
    rig.good(issued);
    let agent = rig.agent.clone();
    tokio::spawn(async move { agent.notices.notify(stop, |_| ready(Shown::Yes)).await });
    for _ in 0..29 {
        tokio::time::sleep(MINUTE).await;
        assert!(!is_locked(&rig));
        assert!(rig.agent.lock.check_unlocked().is_ok());
    }
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&rig));
}

/// A kubeconfig that is always refused does not keep the agent open.
#[tokio::test(start_paused = true)]
async fn refused_request_is_no_use_of_the_agent() {
    let (simulation, _stop) = watched("idle = \"30min\"").await;
    let p0: ProfileName = "p0".parse().unwrap();
    for _ in 0..29 {
        tokio::time::sleep(MINUTE).await;
        let refused = simulation.agent.token.token(&p0, b"", &EntryProof::Absent, None).await;
        assert_eq!(refused.err().unwrap().0.code, ErrorCode::EntryKeyMismatch);
    }
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&simulation));
}

#[tokio::test(start_paused = true)]
async fn auto_lock_after_maximum_time_despite_use() {
    let (simulation, _stop) = watched("idle = \"30min\"\nmax = \"12h\"").await;
    for _ in 0..(12 * 60 - 1) {
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        tokio::time::sleep(MINUTE).await;
    }
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&simulation));
    // Unlocking restarts the maximum time.
    unlock(&simulation).await;
    tokio::time::sleep(29 * MINUTE).await;
    assert!(!is_locked(&simulation));
}

#[tokio::test(start_paused = true)]
async fn auto_lock_after_sleep_comes_before_any_token() {
    for look in [0, 1, 2] {
        let (simulation, _stop) = watched("idle = \"30min\"").await;
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        let calls = simulation.sts.count();
        simulation.laptop.sleep(HOUR);
        match look {
            0 => assert_eq!(simulation.token("p0").await.unwrap_err().0.code, ErrorCode::Locked),
            1 => simulation.agent.recovery.system_changed(),
            // Without a request or event, the next clock check locks the agent.
            _ => tokio::time::sleep(MINUTE + SECOND).await,
        }
        assert!(is_locked(&simulation), "{look}");
        tokio::time::sleep(MINUTE).await;
        // The renewal task may have read the clock at the same time; what it started is discarded.
        assert!(simulation.sts.count() <= calls + usize::from(look == 2), "{look}: renewed while it was locked");
        assert!(simulation.agent.status.status().profiles[0].session.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn auto_lock_ignores_clock_changes() {
    let (simulation, _stop) = watched("idle = \"30min\"").await;
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    simulation.laptop.set(jiff::SignedDuration::from_hours(-2));
    tokio::time::sleep(29 * MINUTE).await;
    assert!(!is_locked(&simulation));
    simulation.laptop.set(jiff::SignedDuration::from_hours(3));
    assert!(!is_locked(&simulation));
    tokio::time::sleep(MINUTE + SECOND).await;
    assert!(is_locked(&simulation));
}

#[tokio::test(start_paused = true)]
async fn auto_lock_applies_changed_times_immediately() {
    let (simulation, _stop) = watched("").await;
    tokio::time::sleep(HOUR).await;
    assert!(!is_locked(&simulation) && simulation.agent.status.status().daemon.lock.auto_lock_at.is_none());
    simulation.configure(&format!("{}\n[lock]\nmax = \"1h30min\"\n", profiles(1, "")));
    tokio::time::sleep(30 * MINUTE + SECOND).await;
    assert!(is_locked(&simulation));
}
