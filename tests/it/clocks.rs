//! Clocks that are wrong, are set, and are set right.

use std::time::Duration;

use jiff::SignedDuration;
use rolecalld::services::unauthorized::ClientProcess;

use crate::engine::{ask, futures};
use crate::rig::{Mood, Rig, profiles};
use crate::world::EXEC_INFO;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A profile without a role: the source's own keys sign.
const DIRECT: &str = "[sources.work]\naws_profile = \"work\"\n\
    [profiles.p0]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n";

#[tokio::test(start_paused = true)]
async fn row_76_a_clock_that_is_set_costs_one_call_a_role_at_most() {
    for hours in [2, -2, 24 * 365 * 10] {
        let rig = Rig::new(&profiles(3, ""));
        for name in ["p0", "p1", "p2"] {
            let issued = rig.token(name).await;
            rig.good(issued);
        }
        rig.laptop.set(SignedDuration::from_hours(hours));
        for _ in 0..60 {
            for name in ["p0", "p1", "p2"] {
                let issued = rig.token(name).await;
                rig.good(issued);
            }
            tokio::time::sleep(SECOND).await;
        }
        let calls = rig.sts.count();
        // The first after a jump forward may be signed with the wrong time, and is told so.
        assert!(calls <= 3 + 1 + 3, "{hours} h: {calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn row_77_a_clock_that_is_wrong_from_the_start_is_corrected() {
    for minutes in [-7, 7, -600, 600] {
        let rig = Rig::new(&profiles(1, ""));
        rig.laptop.set(SignedDuration::from_mins(minutes));
        let issued = rig.token("p0").await;
        let issued = rig.good(issued);
        let off = rig.laptop.truth().duration_since(issued.signed).unwrap_or_else(|error| error.duration());
        assert!(off < 3 * SECOND, "{off:?}");
        assert_eq!(rig.sts.count(), 2, "one that was refused, and taught us");
        let clock = rig.agent.status.status().daemon.clock.unwrap();
        assert!(clock.corrected && (clock.skew_seconds + minutes * 60).abs() <= 1, "{clock:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn row_77_keys_that_sign_themselves_know_the_time_too() {
    let rig = Rig::new(DIRECT);
    rig.laptop.set(SignedDuration::from_mins(-20));
    let issued = rig.token("p0").await;
    rig.good(issued);
    for hours in [3, -3] {
        rig.laptop.set(SignedDuration::from_hours(hours));
        let issued = rig.token("p0").await;
        rig.good(issued);
        tokio::time::sleep(2 * MINUTE).await;
    }
    assert_eq!(rig.sts.count(), 2, "at first, and after the clock was set forward");
    // And without STS there are tokens all the same.
    let rig = Rig::new(DIRECT);
    rig.sts.set(Mood::Silent);
    let begin = tokio::time::Instant::now();
    for _ in 0..3 {
        let issued = rig.token("p0").await;
        rig.good(issued);
    }
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn row_76_what_was_planned_in_a_wrong_time_is_planned_anew() {
    let rig = Rig::new(&profiles(40, ""));
    futures(40, |n| ask(&rig, n)).await;
    tokio::time::sleep(MINUTE).await;
    rig.laptop.set(SignedDuration::from_hours(5));
    rig.agent.recovery.system_changed();
    tokio::time::sleep(2 * MINUTE).await;
    for profile in rig.agent.status.status().profiles {
        let (next, ends) = (profile.next_renewal.unwrap(), profile.session.unwrap().expires.unwrap());
        assert!(next < ends, "{}: planned for {next}, ends at {ends}", profile.name);
    }
}

#[tokio::test(start_paused = true)]
async fn row_77_a_clock_that_is_set_right_while_sts_is_down_harms_nobody() {
    for minutes in [-120, 120] {
        let rig = Rig::new(&profiles(1, ""));
        rig.laptop.set(SignedDuration::from_mins(minutes));
        let issued = rig.token("p0").await;
        rig.good(issued);
        rig.sts.set(Mood::Unreachable);
        tokio::time::sleep(MINUTE).await;
        rig.laptop.set(SignedDuration::from_mins(-minutes));
        let issued = rig.token("p0").await;
        rig.good(issued);
        assert!(!rig.agent.status.status().daemon.clock.unwrap().corrected);
    }
}

#[tokio::test(start_paused = true)]
async fn row_77_keys_that_sign_themselves_learn_the_time_however_late_they_are_asked_for() {
    let rig = Rig::new(DIRECT);
    let issued = rig.token("p0").await;
    rig.good(issued);
    rig.laptop.set(SignedDuration::from_mins(30));
    rig.agent.recovery.system_changed();
    tokio::time::sleep(2 * MINUTE).await;
    let issued = rig.token("p0").await;
    rig.good(issued);
}

#[tokio::test(start_paused = true)]
async fn row_77_a_clock_that_is_set_nearly_right_is_doubted_for_as_long_as_it_takes() {
    let rig = Rig::new(&profiles(1, ""));
    rig.laptop.set(SignedDuration::from_mins(-16));
    let issued = rig.token("p0").await;
    rig.good(issued);
    rig.laptop.set(SignedDuration::from_mins(1));
    tokio::time::sleep(10 * MINUTE).await;
    let issued = rig.token("p0").await;
    rig.good(issued);
}

/// A real child's end is waited for, so time passes by itself here.
#[tokio::test]
async fn row_77_credentials_that_seem_over_are_a_reason_to_ask_for_the_time() {
    let rig = Rig::new(&profiles(1, ""));
    let ends: jiff::Timestamp = (rig.laptop.truth() + HOUR).try_into().unwrap();
    let said = format!(
        r#"{{"Version":1,"AccessKeyId":"AKIAWORK","SecretAccessKey":"s","SessionToken":"t","Expiration":"{ends}"}}"#
    );
    let folder = rig.agent.config.path().parent().unwrap().to_owned();
    let file = folder.join("said.json");
    std::fs::write(&file, said).unwrap();
    let process = format!("[work]\ncredential_process = /bin/cat {}\n", file.display());
    std::fs::write(folder.join(".aws/credentials"), process).unwrap();
    rig.laptop.set(SignedDuration::from_hours(2));
    let issued = rig.token("p0").await;
    rig.good(issued);
}

#[tokio::test(start_paused = true)]
async fn row_83_on_suspicion_alone_nobody_waits_long() {
    let rig = Rig::new(&profiles(1, ""));
    let (name, client_process) = ("p0".parse().unwrap(), Some(ClientProcess { pid: 7, started: 1 }));
    for n in 0..3 {
        if n == 1 {
            rig.sts.set(Mood::Silent);
        }
        let begin = tokio::time::Instant::now();
        rig.agent.token.token(&name, EXEC_INFO.as_bytes(), client_process).await.unwrap();
        assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(rig.sts.count(), 2);
}
