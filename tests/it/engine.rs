//! The engine over hours and crowds, on time that passes only when everybody waits.

use std::collections::HashSet;
use std::time::Duration;

use rolecall_protocol::{ErrorClass, ErrorCode};
use rolecalld::services::AgentError;

use crate::rig::{Mood, Rig, profiles};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A caller every second for so long; none of them fails.
async fn a_caller_every_second(rig: &Rig, time: Duration) {
    for _ in 0..time.as_secs() {
        let issued = rig.token("p0").await;
        rig.good(issued);
        tokio::time::sleep(SECOND).await;
    }
}

async fn outage(rig: &Rig, mood: Mood, time: Duration) {
    let issued = rig.token("p0").await;
    let before = rig.good(issued);
    // The middle of the session's life is when it would have been renewed.
    let life = before.session_ends.duration_since(rig.laptop.truth()).unwrap();
    a_caller_every_second(rig, life.mul_f64(0.44)).await;
    rig.sts.set(mood);
    a_caller_every_second(rig, time).await;
    rig.sts.set(Mood::Well);
    a_caller_every_second(rig, MINUTE).await;
    let issued = rig.token("p0").await;
    assert_ne!(rig.good(issued).key_id, before.key_id, "renewed within a minute");
}

#[tokio::test(start_paused = true)]
async fn row_60_sts_is_down_for_25_minutes_of_an_hour() {
    for mood in [Mood::Unreachable, Mood::Silent, Mood::Broken, Mood::Denying, Mood::Busy(3)] {
        outage(&Rig::new(&profiles(1, "")), mood, 25 * MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_60_sts_is_down_for_5_hours_of_12() {
    outage(&Rig::new(&profiles(1, "duration = \"12h\"")), Mood::Unreachable, 5 * HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn row_58_attempts_during_an_outage_keep_their_distance() {
    let rig = Rig::new(&profiles(1, ""));
    let issued = rig.token("p0").await;
    rig.good(issued);
    rig.sts.set(Mood::Broken);
    a_caller_every_second(&rig, 50 * MINUTE).await;
    let calls = rig.sts.count();
    // Renewals begin at the middle of the hour; one a minute at most once they have failed a few times, three attempts each,
    // and in the last quarter of an hour the callers ask too, every ten seconds.
    assert!(calls > 20 && calls < 200, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn row_72_a_thousand_callers_on_a_cold_role_are_one_call() {
    let rig = Rig::new(&profiles(1, ""));
    let answers = futures(1000, |_| rig.token("p0")).await;
    let tokens: HashSet<_> = answers.into_iter().map(|issued| rig.good(issued).url).collect();
    assert_eq!((tokens.len(), rig.sts.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn row_73_a_thousand_callers_over_two_hundred_roles_keep_the_limits() {
    let rig = Rig::new(&profiles(200, ""));
    // As the server does it: nine seconds, and then a word on why.
    let answers = futures(1000, |n| tokio::time::timeout(crate::rig::CALLER, ask(&rig, n % 200))).await;
    let served = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    assert!(answers.iter().all(|answer| !matches!(answer, Ok(Err(_)))), "nobody is refused");
    assert!(served >= 5 * 60, "{served}: twenty roles at once, and five a second for nine seconds");
    assert!(rig.agent.waiting_sts_calls() > 0, "those that were not served can be told why");
    tokio::time::sleep(MINUTE).await;
    for n in 0..200 {
        let issued = rig.token(&format!("p{n}")).await;
        rig.good(issued);
    }
    assert_eq!(rig.sts.count(), 200, "one call a role, and none of them in vain");
    assert!(rig.sts.peak() <= 8, "{}", rig.sts.peak());
    for seconds in [1, 5, 20] {
        let most = rig.sts.most_within(seconds * SECOND);
        assert!(most <= 21 + 5 * seconds as usize, "{most} in {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_79_and_80_after_a_nap_a_hundred_roles_are_renewed_without_a_rush() {
    let rig = Rig::new(&profiles(100, ""));
    futures(100, |n| ask(&rig, n)).await;
    tokio::time::sleep(MINUTE).await;
    let before = rig.sts.count();
    rig.laptop.sleep(3 * HOUR);
    // Somebody is quicker than the engine: they are served at once, from a new session.
    let begin = tokio::time::Instant::now();
    let issued = rig.token("p99").await;
    rig.good(issued);
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rig.sts.count() - before, 100, "each role once");
    assert!(rig.sts.most_within(SECOND) <= 26);
    // All of them are ready before anybody asks.
    for n in 0..100 {
        let issued = rig.token(&format!("p{n}")).await;
        rig.good(issued);
    }
    assert_eq!(rig.sts.count() - before, 100);
}

#[tokio::test(start_paused = true)]
async fn row_79_a_network_that_comes_up_seconds_after_waking_is_waited_for() {
    let rig = Rig::new(&profiles(1, ""));
    let issued = rig.token("p0").await;
    rig.good(issued);
    rig.laptop.sleep(3 * HOUR);
    rig.sts.set(Mood::Unreachable);
    let up = async {
        tokio::time::sleep(4 * SECOND).await;
        rig.sts.set(Mood::Well);
    };
    let (issued, ()) = tokio::join!(rig.token("p0"), up);
    rig.good(issued);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_waits_does_not_wait_for_renewals() {
    let rig = Rig::new(&profiles(200, ""));
    futures(200, |n| ask(&rig, n)).await;
    tokio::time::sleep(MINUTE).await;
    rig.laptop.sleep(3 * HOUR);
    rig.agent.recovery.system_changed();
    // Two hundred renewals take forty seconds; in the midst of them:
    tokio::time::sleep(20 * SECOND).await;
    rig.configure(&profiles(201, ""));
    let begin = tokio::time::Instant::now();
    let issued = rig.token("p200").await;
    rig.good(issued);
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rows_61_and_62_with_nothing_to_serve_the_reason_comes_in_time_and_then_at_once() {
    for (mood, code) in [
        (Mood::Silent, ErrorCode::AwsUnavailable),
        (Mood::Unreachable, ErrorCode::AwsUnavailable),
        (Mood::Broken, ErrorCode::AwsUnavailable),
        (Mood::Denying, ErrorCode::AccessDenied),
    ] {
        let rig = Rig::new(&profiles(1, ""));
        rig.sts.set(mood);
        let begin = tokio::time::Instant::now();
        // One kubectl that fails.
        for _ in 0..6 {
            let error = rig.token("p0").await.unwrap_err();
            assert_eq!(error.0.code, code, "{mood:?}: {error}");
        }
        assert!(begin.elapsed() < 10 * SECOND, "{mood:?}: {:?}", begin.elapsed());
        assert!(rig.sts.count() <= 3, "{mood:?}: {} calls", rig.sts.count());
    }
}

#[tokio::test(start_paused = true)]
async fn row_59_whoever_asks_for_time_gets_it() {
    let rig = Rig::new(&profiles(3, ""));
    rig.sts.set(Mood::Busy(2));
    for name in ["p0", "p1", "p2"] {
        assert!(rig.token(name).await.is_err());
    }
    assert_eq!(rig.sts.count(), 1, "the others were not even asked");
    rig.sts.set(Mood::Well);
    tokio::time::sleep(2 * SECOND).await;
    let issued = rig.token("p1").await;
    rig.good(issued);
    // Whoever asks for too much gets a minute.
    rig.sts.set(Mood::Busy(u64::MAX));
    assert!(rig.token("p2").await.is_err());
    rig.sts.set(Mood::Well);
    tokio::time::sleep(MINUTE).await;
    let issued = rig.token("p2").await;
    rig.good(issued);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_only_fails_is_left_alone_by_all_and_tried_by_one() {
    let rig = Rig::new(&profiles(100, ""));
    rig.sts.set(Mood::Unreachable);
    for n in 0..100 {
        assert!(rig.token(&format!("p{n}")).await.is_err());
    }
    assert!(rig.sts.count() < 10, "{} calls", rig.sts.count());
    // What a change of the network does; without it, ten seconds at most.
    rig.sts.set(Mood::Well);
    rig.agent.recovery.system_changed();
    let issued = rig.token("p7").await;
    rig.good(issued);
}

/// Forty profiles of which ten have been refused; STS has just come back, and is left alone still.
async fn after_an_outage() -> Rig {
    let rig = Rig::new(&profiles(40, ""));
    rig.sts.set(Mood::Unreachable);
    for n in 0..10 {
        assert!(rig.token(&format!("p{n}")).await.is_err());
    }
    rig.sts.set(Mood::Well);
    rig
}

#[tokio::test(start_paused = true)]
async fn who_was_not_even_asked_is_served_as_soon_as_somebody_is() {
    let rig = after_an_outage().await;
    let mut refused = 10;
    while let Err(error) = rig.token(&format!("p{refused}")).await {
        assert_eq!(error.0.code, ErrorCode::AwsUnavailable);
        refused += 1;
        tokio::time::sleep(SECOND).await;
    }
    assert!((11..=20).contains(&refused), "ten seconds at most: {refused}");
    for n in 10..refused {
        let issued = rig.token(&format!("p{n}")).await;
        rig.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_somebody_finds_out_is_served_too() {
    let rig = after_an_outage().await;
    tokio::time::sleep(10 * SECOND).await;
    let names: Vec<String> = (10..40).map(|n| format!("p{n}")).collect();
    for issued in futures_util::future::join_all(names.iter().map(|name| rig.token(name))).await {
        rig.good(issued);
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_remembered_for_longer_each_time_and_forgotten_with_the_profile_that_caused_it() {
    let rig = Rig::new(&profiles(2, ""));
    rig.sts.set(Mood::Denying);
    let begin = rig.laptop.truth();
    while rig.laptop.truth() < begin + 10 * MINUTE {
        assert!(rig.token("p0").await.is_err());
        tokio::time::sleep(SECOND).await;
    }
    let calls = rig.sts.count();
    assert!((10..=15).contains(&calls), "{calls}: after 5, 10, 20, 40 and then every 60 s");
    let status = rig.agent.status.status().profiles[0].problem.clone().unwrap();
    assert_eq!(status.class, ErrorClass::Change);
    rig.sts.set(Mood::Well);
    assert!(rig.token("p0").await.is_err(), "still remembered");
    rig.configure(&(profiles(2, "") + "keep_warm = \"1h\"\n"));
    assert!(rig.token("p0").await.is_err(), "another profile was changed");
    rig.configure(&profiles(2, "keep_warm = \"2h\""));
    let issued = rig.token("p0").await;
    rig.good(issued);
}

pub(crate) async fn ask(rig: &Rig, n: usize) -> Result<(), AgentError> {
    let name = format!("p{n}").parse().unwrap();
    rig.agent.token.token(&name, b"", None).await.map(drop)
}

pub(crate) async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Vec<T> {
    futures_util::future::join_all((0..count).map(make)).await
}
