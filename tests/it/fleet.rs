//! Compares a laptop of the fleet simulation with the whole agent over the same day.

use std::time::Duration;

use rolecall_fleet::{DAY, OUTAGE, Usage, simulate_laptop};

use crate::simulation::{Mood, Simulation, profiles};

/// How often kubectl runs its plugin before it fails.
const PLUGIN_RUNS: usize = 6;

/// The agent's calls to STS until the outage, in it and after it, and the kubectl runs that failed.
async fn whole_agent(usage: &Usage) -> ([usize; 3], usize) {
    let simulation = Simulation::new(&profiles(Usage::ROLES, ""));
    let origin = simulation.laptop.truth();
    let elapsed = || simulation.laptop.truth().duration_since(origin).unwrap();
    let (mut counts, mut failed, mut has_slept) = ([0; 3], 0, false);
    for run in &usage.runs {
        if !has_slept && run.at >= usage.lunch.end {
            has_slept = true;
            tokio::time::sleep(usage.lunch.start.saturating_sub(elapsed())).await;
            simulation.laptop.sleep(usage.lunch.end.saturating_sub(elapsed()));
            simulation.agent.recovery.system_changed();
        }
        for (phase, (at, mood)) in [(OUTAGE.start, Mood::Broken), (OUTAGE.end, Mood::Well)].into_iter().enumerate() {
            if elapsed() < at && run.at >= at {
                tokio::time::sleep(at.saturating_sub(elapsed())).await;
                counts[phase] = simulation.sts.count();
                simulation.sts.set(mood);
            }
        }
        tokio::time::sleep(run.at.saturating_sub(elapsed())).await;
        let name = format!("p{}", run.role);
        let mut is_served = false;
        for _ in 0..PLUGIN_RUNS {
            is_served = is_served || simulation.token(&name).await.is_ok();
        }
        failed += usize::from(!is_served);
    }
    tokio::time::sleep(DAY.saturating_sub(elapsed())).await;
    counts[2] = simulation.sts.count();
    ([counts[0], counts[1] - counts[0], counts[2] - counts[1]], failed)
}

/// The random parts of pauses differ: each phase may have a sixth more or less calls, and two.
#[test]
fn fleet_laptop_makes_the_calls_of_the_whole_agent() {
    for seed in 1..=3 {
        let usage = Usage::random(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (agent, agent_failed) = runtime.block_on(whole_agent(&usage));
        let laptop = simulate_laptop(&usage, seed);
        let within =
            |from: Duration, to: Duration| laptop.calls.iter().filter(|call| (from..to).contains(&call.at)).count();
        let phases = [within(Duration::ZERO, OUTAGE.start), within(OUTAGE.start, OUTAGE.end), within(OUTAGE.end, DAY)];
        for (agent, laptop) in agent.into_iter().zip(phases) {
            assert!(agent.abs_diff(laptop) <= agent / 6 + 2, "seed {seed}: {agent} calls, and {laptop} in the fleet");
        }
        assert_eq!(agent_failed, laptop.failures.len(), "seed {seed}: failed kubectl runs");
    }
}
