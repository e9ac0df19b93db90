//! Clocks that are wrong, are set, or are corrected.

use std::time::Duration;

use jiff::SignedDuration;
use rolecall_protocol::EntryProof;
use rolecalld::services::unauthorized::ClientProcess;

use crate::engine::{ask, futures};
use crate::fixture::EXEC_INFO;
use crate::simulation::{Mood, Simulation, profiles};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A profile without a role: the source's own access key signs.
const DIRECT: &str = "[sources.work]\naws_profile = \"work\"\n\
    [profiles.p0]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n";

/// Fault matrix row 76.
#[tokio::test(start_paused = true)]
async fn clock_set_costs_at_most_one_call_per_role() {
    for hours in [2, -2, 24 * 365 * 10] {
        let simulation = Simulation::new(&profiles(3, ""));
        for name in ["p0", "p1", "p2"] {
            let issued = simulation.token(name).await;
            simulation.good(issued);
        }
        simulation.laptop.set(SignedDuration::from_hours(hours));
        for _ in 0..60 {
            for name in ["p0", "p1", "p2"] {
                let issued = simulation.token(name).await;
                simulation.good(issued);
            }
            tokio::time::sleep(SECOND).await;
        }
        let calls = simulation.sts.count();
        // The first call after a jump ahead may be signed with the wrong time and rejected.
        assert!(calls <= 3 + 1 + 3, "{hours} h: {calls} calls");
    }
}

/// Fault matrix row 77.
#[tokio::test(start_paused = true)]
async fn clock_wrong_from_start_is_corrected() {
    for minutes in [-7, 7, -600, 600] {
        let simulation = Simulation::new(&profiles(1, ""));
        simulation.laptop.set(SignedDuration::from_mins(minutes));
        let issued = simulation.token("p0").await;
        let issued = simulation.good(issued);
        let off = simulation.laptop.truth().duration_since(issued.signed).unwrap_or_else(|error| error.duration());
        assert!(off < 3 * SECOND, "{off:?}");
        assert_eq!(simulation.sts.count(), 2, "one rejected call, whose Date corrected the clock");
        let clock = simulation.agent.status.status().daemon.clock.unwrap();
        assert!(clock.corrected && (clock.skew_seconds + minutes * 60).abs() <= 1, "{clock:?}");
    }
}

/// Fault matrix row 77.
#[tokio::test(start_paused = true)]
async fn clock_is_corrected_for_sources_without_role() {
    let simulation = Simulation::new(DIRECT);
    simulation.laptop.set(SignedDuration::from_mins(-20));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    for hours in [3, -3] {
        simulation.laptop.set(SignedDuration::from_hours(hours));
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        tokio::time::sleep(2 * MINUTE).await;
    }
    assert_eq!(simulation.sts.count(), 2, "at the start, and after the clock was set forward");
    // Tokens are served without STS too.
    let simulation = Simulation::new(DIRECT);
    simulation.sts.set(Mood::Silent);
    let begin = tokio::time::Instant::now();
    for _ in 0..3 {
        let issued = simulation.token("p0").await;
        simulation.good(issued);
    }
    assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
}

/// Fault matrix row 76.
#[tokio::test(start_paused = true)]
async fn clock_correction_reschedules_renewals() {
    let simulation = Simulation::new(&profiles(40, ""));
    futures(40, |n| ask(&simulation, n)).await;
    tokio::time::sleep(MINUTE).await;
    simulation.laptop.set(SignedDuration::from_hours(5));
    simulation.agent.recovery.system_changed();
    tokio::time::sleep(2 * MINUTE).await;
    for profile in simulation.agent.status.status().profiles {
        let (next, ends) = (profile.next_renewal.unwrap(), profile.session.unwrap().expires.unwrap());
        assert!(next < ends, "{}: planned for {next}, ends at {ends}", profile.name);
    }
}

/// Fault matrix row 77.
#[tokio::test(start_paused = true)]
async fn clock_corrected_while_sts_is_down_keeps_tokens_valid() {
    for minutes in [-120, 120] {
        let simulation = Simulation::new(&profiles(1, ""));
        simulation.laptop.set(SignedDuration::from_mins(minutes));
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        simulation.sts.set(Mood::Unreachable);
        tokio::time::sleep(MINUTE).await;
        simulation.laptop.set(SignedDuration::from_mins(-minutes));
        let issued = simulation.token("p0").await;
        simulation.good(issued);
        assert!(!simulation.agent.status.status().daemon.clock.unwrap().corrected);
    }
}

/// Fault matrix row 77.
#[tokio::test(start_paused = true)]
async fn clock_is_learned_late_for_sources_without_role() {
    let simulation = Simulation::new(DIRECT);
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    simulation.laptop.set(SignedDuration::from_mins(30));
    simulation.agent.recovery.system_changed();
    tokio::time::sleep(2 * MINUTE).await;
    let issued = simulation.token("p0").await;
    simulation.good(issued);
}

/// Fault matrix row 77.
#[tokio::test(start_paused = true)]
async fn clock_set_nearly_right_stays_uncertain_until_checked() {
    let simulation = Simulation::new(&profiles(1, ""));
    simulation.laptop.set(SignedDuration::from_mins(-16));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
    simulation.laptop.set(SignedDuration::from_mins(1));
    tokio::time::sleep(10 * MINUTE).await;
    let issued = simulation.token("p0").await;
    simulation.good(issued);
}

/// tokio's time is not paused here: the daemon waits for a real child process.
/// Fault matrix row 77.
#[tokio::test]
async fn credentials_seemingly_expired_cause_a_clock_check() {
    let simulation = Simulation::new(&profiles(1, ""));
    let ends: jiff::Timestamp = (simulation.laptop.truth() + HOUR).try_into().unwrap();
    let said = format!(
        r#"{{"Version":1,"AccessKeyId":"AKIAWORK","SecretAccessKey":"s","SessionToken":"t","Expiration":"{ends}"}}"#
    );
    let folder = simulation.agent.config.path().parent().unwrap().to_owned();
    let file = folder.join("said.json");
    std::fs::write(&file, said).unwrap();
    let process = format!("[work]\ncredential_process = /bin/cat {}\n", file.display());
    std::fs::write(folder.join(".aws/credentials"), process).unwrap();
    simulation.laptop.set(SignedDuration::from_hours(2));
    let issued = simulation.token("p0").await;
    simulation.good(issued);
}

/// Fault matrix row 83.
#[tokio::test(start_paused = true)]
async fn suspected_clock_jump_delays_no_caller() {
    let simulation = Simulation::new(&profiles(1, ""));
    let (name, client_process) = ("p0".parse().unwrap(), Some(ClientProcess { pid: 7, started: 1, program: None }));
    for n in 0..3 {
        if n == 1 {
            simulation.sts.set(Mood::Silent);
        }
        let begin = tokio::time::Instant::now();
        simulation.agent.token.token(&name, EXEC_INFO.as_bytes(), &EntryProof::Terminal, client_process).await.unwrap();
        assert!(begin.elapsed() < 3 * SECOND, "{:?}", begin.elapsed());
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(simulation.sts.count(), 2);
}
