//! The STS calls of a company's laptops over one working day, in simulated time.
//!
//! Each laptop runs the policy of the daemon: the cache, the rate limit, the circuit breakers, the retries and the renewal
//! queue of `rolecall-core`, on paused tokio time. Only the calls of AWS's SDK and the configuration are left out;
//! `tests/it/fleet.rs` compares a laptop with the whole agent. Beside it, the same kubectl runs with the AWS CLI.
//!
//! ```text
//! Usage (when which role is used) ──▶ Laptop (policy of the daemon) ──▶ Sts (answers, fails in the outage)
//!                                └──▶ aws_cli (one call per kubectl run)        │
//!                                                         Traffic (calls per second) ──▶ Report (rates and bars)
//! ```

// A panic in a simulation is a failed test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod aws_cli;
mod laptop;
mod report;
mod usage;

use std::ops::Range;
use std::time::Duration;

pub use laptop::simulate as simulate_laptop;
pub use report::{Report, Row};
pub use usage::{Lunch, Run, Usage};

const MINUTE: Duration = Duration::from_mins(1);
/// The length of the day.
pub const DAY: Duration = Duration::from_hours(8);
/// When STS fails: after two of the four hours of the afternoon.
pub const OUTAGE: Range<Duration> = Duration::from_hours(6)..Duration::from_mins(6 * 60 + 30);
/// How long STS takes to answer.
pub const LATENCY: Duration = Duration::from_millis(50);
/// How often kubectl runs its plugin before it fails.
const PLUGIN_RUNS: usize = 6;

/// A call to STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The time since the start of the day.
    pub at: Duration,
    /// Whether STS answered.
    pub is_success: bool,
}

/// What happened on one laptop, or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The calls to STS.
    pub calls: Vec<Call>,
    /// The number of kubectl runs.
    pub runs: usize,
    /// When a kubectl run failed.
    pub failures: Vec<Duration>,
    /// The number of kubectl runs that failed because a role had no session yet: its first use was in the outage.
    pub first_use_failures: usize,
    /// The number of kubectl runs that failed although a session was valid.
    pub avoidable_failures: usize,
}

impl Traffic {
    fn add(&mut self, other: Self) {
        self.calls.extend(other.calls);
        self.runs += other.runs;
        self.failures.extend(other.failures);
        self.first_use_failures += other.first_use_failures;
        self.avoidable_failures += other.avoidable_failures;
    }
}

/// The same day with Rolecall and with the AWS CLI.
#[derive(Debug, Default)]
pub struct Fleet {
    /// The number of laptops.
    pub laptops: usize,
    /// The number of roles that were used, of all laptops.
    pub used_roles: usize,
    /// The half hours from the first use of each role to the end of the day without sleep, of all roles.
    pub awake_half_hours: f64,
    /// With Rolecall.
    pub rolecall: Traffic,
    /// With the AWS CLI.
    pub aws_cli: Traffic,
}

impl Fleet {
    /// Simulates a day of this many laptops. The same seed gives the same result.
    #[must_use]
    pub fn simulate(laptops: usize, seed: u64) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(laptops.max(1));
        let part = |first: usize| {
            let mut fleet = Self::default();
            (first..laptops).step_by(threads).for_each(|number| fleet.add_laptop(seed, number));
            fleet
        };
        let mut fleet = Self { laptops, ..Self::default() };
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
            for part in parts {
                let part = part.join().unwrap();
                fleet.used_roles += part.used_roles;
                fleet.awake_half_hours += part.awake_half_hours;
                fleet.rolecall.add(part.rolecall);
                fleet.aws_cli.add(part.aws_cli);
            }
        });
        fleet
    }

    fn add_laptop(&mut self, seed: u64, number: usize) {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let usage = Usage::random(seed);
        self.used_roles += usage.first_uses().count();
        self.awake_half_hours += usage.awake_half_hours();
        self.rolecall.add(laptop::simulate(&usage, seed));
        self.aws_cli.add(aws_cli::simulate(&usage, seed));
    }
}

/// Whether STS fails at this time of the day.
#[must_use]
pub fn is_outage(at: Duration) -> bool {
    OUTAGE.contains(&at)
}
