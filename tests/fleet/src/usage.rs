//! When kubectl runs, and with which role.

use std::time::Duration;

use crate::{DAY, MINUTE};

/// The share of the work that is done with each role.
const ROLES: [f64; 5] = [0.50, 0.20, 0.15, 0.10, 0.05];
/// How often a user starts to work with a cluster, in an hour.
const BURSTS_PER_HOUR: f64 = 4.0;
/// The mean number of kubectl runs of such a burst.
const RUNS_PER_BURST: f64 = 6.0;
/// The mean time between two of them.
const RUN_INTERVAL: Duration = Duration::from_secs(20);
/// Laptops are switched on within this time.
const START_SPREAD: Duration = Duration::from_mins(30);
/// Lids are closed for lunch within this time, three hours after the start of the day …
const LUNCH_SPREAD: Duration = Duration::from_mins(30);
/// … and opened again within this time, an hour later: everyone comes back at about the same time.
const WAKE_SPREAD: Duration = Duration::from_mins(5);

/// A kubectl run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The time since the start of the day.
    pub at: Duration,
    /// The role.
    pub role: usize,
}

/// When a laptop sleeps.
#[derive(Debug, Clone, Copy)]
pub struct Lunch {
    /// Its start.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
}

/// The use of one laptop over the day.
#[derive(Debug, Clone)]
pub struct Usage {
    /// The kubectl runs, in the order of time.
    pub runs: Vec<Run>,
    /// When the laptop sleeps.
    pub lunch: Lunch,
}

impl Usage {
    /// The number of roles of a laptop.
    pub const ROLES: usize = ROLES.len();

    /// Returns a random use.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut within = |spread: Duration| spread.mul_f64(random.f64());
        let start = within(START_SPREAD);
        let lunch = Lunch { start: 180 * MINUTE + within(LUNCH_SPREAD), end: 240 * MINUTE + within(WAKE_SPREAD) };
        let mut runs = Vec::new();
        let mut burst = start;
        loop {
            burst += exponential(&mut random, Duration::from_hours(1).div_f64(BURSTS_PER_HOUR));
            if burst >= DAY {
                break;
            }
            let role = weighted(&mut random);
            let mut at = burst;
            loop {
                runs.push(Run { at, role });
                if random.f64() < 1.0 / RUNS_PER_BURST {
                    break;
                }
                at += exponential(&mut random, RUN_INTERVAL);
            }
        }
        runs.retain(|run| run.at < DAY && !(lunch.start..lunch.end).contains(&run.at));
        runs.sort_by_key(|run| run.at);
        Self { runs, lunch }
    }

    /// Returns when each role that is used is used first.
    pub fn first_uses(&self) -> impl Iterator<Item = Duration> {
        (0..ROLES.len()).filter_map(|role| self.runs.iter().find(|run| run.role == role).map(|run| run.at))
    }

    /// Returns the half hours from the first use of each role to the end of the day, without sleep.
    #[must_use]
    pub fn awake_half_hours(&self) -> f64 {
        let Lunch { start, end } = self.lunch;
        let awake = |first: Duration| DAY.saturating_sub(first).saturating_sub(end.saturating_sub(start.max(first)));
        self.first_uses().map(|first| awake(first).as_secs_f64() / 1800.0).sum()
    }

    /// Returns the model in words, for the output.
    #[must_use]
    pub fn description() -> String {
        format!(
            "{} roles with shares of {} % of the work; {BURSTS_PER_HOUR} bursts an hour of {RUNS_PER_BURST} kubectl runs on average, \
             {} s apart; laptops start within {} min, sleep from 3 h (within {} min) to 4 h (within {} min)",
            ROLES.len(),
            ROLES.map(|share| (100.0 * share).round().to_string()).join(", "),
            RUN_INTERVAL.as_secs(),
            START_SPREAD.as_secs() / 60,
            LUNCH_SPREAD.as_secs() / 60,
            WAKE_SPREAD.as_secs() / 60,
        )
    }
}

/// Returns a random time with this mean, as between independent events.
fn exponential(random: &mut fastrand::Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - random.f64()).ln())
}

/// Returns a role by its share.
fn weighted(random: &mut fastrand::Rng) -> usize {
    let mut left = random.f64();
    let is_found = |share: &f64| {
        left -= share;
        left < 0.0
    };
    ROLES.iter().position(is_found).unwrap_or(0)
}
