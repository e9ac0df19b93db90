//! Sessions over hours and with many callers, in paused tokio time.

use std::collections::HashSet;
use std::time::Duration;

use rolecall_protocol::{EntryProof, ErrorClass, ErrorCode};
use rolecalld::services::AgentError;

use crate::simulation::{Mood, Simulation, profiles};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Requests a token every second for `time`. Each request succeeds.
async fn a_caller_every_second(simulation: &Simulation, time: Duration) {
    for _ in 0..time.as_secs() {
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        tokio::time::sleep(SECOND).await;
    }
}

async fn outage(simulation: &Simulation, mood: Mood, time: Duration) {
    let issued = simulation.token("p0").await;
    let before = simulation.good(issued);
    // Without the outage, the session would be renewed in the middle of its life.
    let life = before.session_ends.duration_since(simulation.laptop.truth()).unwrap();
    a_caller_every_second(simulation, life.mul_f64(0.44)).await;
    simulation.sts.set(mood);
    a_caller_every_second(simulation, time).await;
    simulation.sts.set(Mood::Well);
    // The longest pause between two attempts, with a Retry-After.
    a_caller_every_second(simulation, 8 * MINUTE + 5 * SECOND).await;
    let issued = simulation.token("p0").await;
    assert_ne!(simulation.good(issued).key_id, before.key_id, "renewed within eight minutes");
}

/// Fault matrix row 60.
#[tokio::test(start_paused = true)]
async fn sts_down_25_minutes_of_an_hour_tokens_are_served() {
    for mood in [Mood::Unreachable, Mood::Silent, Mood::Broken, Mood::Denying, Mood::Busy(3)] {
        outage(&Simulation::new(&profiles(1, "")), mood, 25 * MINUTE).await;
    }
}

/// Fault matrix row 60.
#[tokio::test(start_paused = true)]
async fn sts_down_5_of_12_hours_recovers() {
    outage(&Simulation::new(&profiles(1, "duration = \"12h\"")), Mood::Unreachable, 5 * HOUR).await;
}

/// Fault matrix row 58.
#[tokio::test(start_paused = true)]
async fn attempts_during_outage_back_off() {
    let simulation = Simulation::new(&profiles(1, ""));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    simulation.sts.set(Mood::Broken);
    a_caller_every_second(&simulation, 50 * MINUTE).await;
    let calls = simulation.sts.count();
    // Attempts start between minute 27 and 29.4. Each pause is half to all of the outage so far, 5 s to 8 min. In the last 15 min
    // of the session, callers share these attempts: their session is still served.
    assert!((9..=30).contains(&calls), "{calls}");
}

/// Fault matrix row 72.
#[tokio::test(start_paused = true)]
async fn thousand_callers_of_cold_role_share_one_call() {
    let simulation = Simulation::new(&profiles(1, ""));
    let answers = futures(1000, |_| simulation.token("p0")).await;
    let tokens: HashSet<_> = answers.into_iter().map(|issued| simulation.good(issued).url).collect();
    assert_eq!((tokens.len(), simulation.sts.count()), (1, 1));
}

/// Fault matrix row 73.
#[tokio::test(start_paused = true)]
async fn thousand_callers_of_200_roles_respect_rate_limit() {
    let simulation = Simulation::new(&profiles(200, ""));
    // As in the server: after nine seconds the caller gets an error that names the cause.
    let answers = futures(1000, |n| tokio::time::timeout(crate::simulation::CALLER, ask(&simulation, n % 200))).await;
    let served = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    assert!(answers.iter().all(|answer| !matches!(answer, Ok(Err(_)))), "no caller gets an error");
    assert!(served >= 5 * 60, "{served}: twenty roles at once, and five a second for nine seconds");
    assert!(simulation.agent.waiting_sts_calls() > 0, "waiting callers are reported");
    tokio::time::sleep(MINUTE).await;
    for n in 0..200 {
        let issued = simulation.token(&format!("p{n}")).await;
        simulation.good(issued);
    }
    assert_eq!(simulation.sts.count(), 200, "one successful call per role");
    assert!(simulation.sts.peak() <= 8, "{}", simulation.sts.peak());
    for seconds in [1, 5, 20] {
        let most = simulation.sts.most_within(seconds * SECOND);
        assert!(most <= 21 + 5 * seconds as usize, "{most} in {seconds} s");
    }
}

/// Fault matrix rows 79 and 80.
#[tokio::test(start_paused = true)]
async fn wake_renews_100_expired_roles_within_30_min() {
    let simulation = Simulation::new(&profiles(100, ""));
    futures(100, |n| ask(&simulation, n)).await;
    tokio::time::sleep(MINUTE).await;
    let before = simulation.sts.count();
    simulation.laptop.sleep(3 * HOUR);
    // A caller comes before the background renewal and gets a new session.
    let begin = tokio::time::Instant::now();
    let issued = simulation.token("p99").await;
    simulation.good(issued);
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
    // The laptops of a company wake up at the same time, so the others follow within 30 min. The first ones of them are due
    // again after 27 min.
    tokio::time::sleep(26 * MINUTE).await;
    let renewed = simulation.sts.count() - before;
    assert!((60..=100).contains(&renewed), "each role at most once: {renewed}");
    tokio::time::sleep(4 * MINUTE + SECOND).await;
    let before = simulation.sts.count();
    // All sessions are renewed without a request.
    for n in 0..100 {
        let issued = simulation.token(&format!("p{n}")).await;
        simulation.good(issued);
    }
    assert_eq!(simulation.sts.count(), before);
}

/// Fault matrix row 79.
#[tokio::test(start_paused = true)]
async fn wake_without_network_waits_for_the_network() {
    let simulation = Simulation::new(&profiles(1, ""));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    simulation.laptop.sleep(3 * HOUR);
    simulation.sts.set(Mood::Unreachable);
    let up = async {
        tokio::time::sleep(4 * SECOND).await;
        simulation.sts.set(Mood::Well);
    };
    let (issued, ()) = tokio::join!(simulation.token("p0"), up);
    simulation.good(issued);
}

#[tokio::test(start_paused = true)]
async fn caller_has_priority_over_renewals() {
    let simulation = Simulation::new(&profiles(200, ""));
    futures(200, |n| ask(&simulation, n)).await;
    tokio::time::sleep(MINUTE).await;
    simulation.laptop.sleep(3 * HOUR);
    // As after a login, which ends the failures of all roles: 200 renewals take 40 s. During them:
    simulation.agent.recovery.sources_changed();
    tokio::time::sleep(20 * SECOND).await;
    simulation.configure(&profiles(201, ""));
    let begin = tokio::time::Instant::now();
    let issued = simulation.token("p200").await;
    simulation.good(issued);
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
}

/// Fault matrix rows 61 and 62.
#[tokio::test(start_paused = true)]
async fn sts_failure_without_session_is_reported_then_remembered() {
    for (mood, code) in [
        (Mood::Silent, ErrorCode::AwsUnavailable),
        (Mood::Unreachable, ErrorCode::AwsUnavailable),
        (Mood::Broken, ErrorCode::AwsUnavailable),
        (Mood::Denying, ErrorCode::AccessDenied),
    ] {
        let simulation = Simulation::new(&profiles(1, ""));
        simulation.sts.set(mood);
        let begin = tokio::time::Instant::now();
        // One failing kubectl.
        for _ in 0..6 {
            let error = simulation.token("p0").await.unwrap_err();
            assert_eq!(error.0.code, code, "{mood:?}: {error}");
        }
        assert!(begin.elapsed() < 10 * SECOND, "{mood:?}: {:?}", begin.elapsed());
        assert!(simulation.sts.count() <= 3, "{mood:?}: {} calls", simulation.sts.count());
    }
}

/// Fault matrix row 59.
#[tokio::test(start_paused = true)]
async fn sts_retry_after_is_respected() {
    let simulation = Simulation::new(&profiles(3, ""));
    simulation.sts.set(Mood::Busy(2));
    for name in ["p0", "p1", "p2"] {
        assert!(simulation.token(name).await.is_err());
    }
    assert_eq!(simulation.sts.count(), 1, "no further call was made");
    simulation.sts.set(Mood::Well);
    tokio::time::sleep(2 * SECOND).await;
    let issued = simulation.token("p1").await;
    simulation.good(issued);
    // A longer pause than one minute is cut to one minute.
    simulation.sts.set(Mood::Busy(u64::MAX));
    assert!(simulation.token("p2").await.is_err());
    simulation.sts.set(Mood::Well);
    tokio::time::sleep(MINUTE).await;
    let issued = simulation.token("p2").await;
    simulation.good(issued);
}

#[tokio::test(start_paused = true)]
async fn failing_endpoint_gets_one_probe_at_a_time() {
    let simulation = Simulation::new(&profiles(100, ""));
    simulation.sts.set(Mood::Unreachable);
    for n in 0..100 {
        assert!(simulation.token(&format!("p{n}")).await.is_err());
    }
    assert!(simulation.sts.count() < 10, "{} calls", simulation.sts.count());
    // As after a change of the network. Otherwise the circuit breaker closes within 10 s.
    simulation.sts.set(Mood::Well);
    simulation.agent.recovery.system_changed();
    let issued = simulation.token("p7").await;
    simulation.good(issued);
}

/// Returns a simulation of forty profiles, ten of which have failed. STS works again, and the circuit breaker is still open.
async fn after_an_outage() -> Simulation {
    let simulation = Simulation::new(&profiles(40, ""));
    simulation.sts.set(Mood::Unreachable);
    for n in 0..10 {
        assert!(simulation.token(&format!("p{n}")).await.is_err());
    }
    simulation.sts.set(Mood::Well);
    simulation
}

#[tokio::test(start_paused = true)]
async fn callers_blocked_by_breaker_are_served_after_success() {
    let simulation = after_an_outage().await;
    let mut refused = 10;
    while let Err(error) = simulation.token(&format!("p{refused}")).await {
        assert_eq!(error.0.code, ErrorCode::AwsUnavailable);
        refused += 1;
        tokio::time::sleep(SECOND).await;
    }
    assert!((11..=20).contains(&refused), "the circuit breaker is open for at most 10 s: {refused}");
    for n in 10..refused {
        let issued = simulation.token(&format!("p{n}")).await;
        simulation.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_during_probe_share_its_result() {
    let simulation = after_an_outage().await;
    tokio::time::sleep(10 * SECOND).await;
    let names: Vec<String> = (10..40).map(|n| format!("p{n}")).collect();
    for issued in futures_util::future::join_all(names.iter().map(|name| simulation.token(name))).await {
        simulation.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn denial_ttl_grows_and_ends_with_its_profile() {
    let simulation = Simulation::new(&profiles(2, ""));
    simulation.sts.set(Mood::Denying);
    let begin = simulation.laptop.truth();
    while simulation.laptop.truth() < begin + 10 * MINUTE {
        assert!(simulation.token("p0").await.is_err());
        tokio::time::sleep(SECOND).await;
    }
    let calls = simulation.sts.count();
    assert!((10..=15).contains(&calls), "{calls}: after 5, 10, 20, 40 and then every 60 s");
    let status = simulation.agent.status.status().profiles[0].problem.clone().unwrap();
    assert_eq!(status.class, ErrorClass::Change);
    simulation.sts.set(Mood::Well);
    assert!(simulation.token("p0").await.is_err(), "still remembered");
    simulation.configure(&(profiles(2, "") + "keep_warm = \"1h\"\n"));
    assert!(simulation.token("p0").await.is_err(), "another profile was changed");
    simulation.configure(&profiles(2, "keep_warm = \"2h\""));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
}

pub(crate) async fn ask(simulation: &Simulation, n: usize) -> Result<(), AgentError> {
    let name = format!("p{n}").parse().unwrap();
    simulation.agent.token.token(&name, b"", &EntryProof::Terminal, None).await.map(drop)
}

pub(crate) async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Vec<T> {
    futures_util::future::join_all((0..count).map(make)).await
}
