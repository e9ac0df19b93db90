//! `aws eks get-token --role-arn` as the plugin of kubectl: an AssumeRole for each run, in the AWS CLI's standard retry mode.

use std::time::Duration;

use crate::usage::Usage;
use crate::{Call, LATENCY, PLUGIN_RUNS, Traffic, is_outage};

/// Attempts in standard mode, the first included.
const MAX_ATTEMPTS: i32 = 3;
/// The longest delay between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

pub(crate) fn simulate(usage: &Usage, seed: u64) -> Traffic {
    let mut random = fastrand::Rng::with_seed(!seed);
    let mut traffic = Traffic { runs: usage.runs.len(), ..Traffic::default() };
    for run in &usage.runs {
        let mut at = run.at;
        if !(0..PLUGIN_RUNS).any(|_| assume_role(&mut at, &mut random, &mut traffic.calls)) {
            traffic.failures.push(run.at);
        }
    }
    traffic
}

/// Makes the attempts of one process, and returns whether one succeeded.
fn assume_role(at: &mut Duration, random: &mut fastrand::Rng, calls: &mut Vec<Call>) -> bool {
    for attempt in 0..MAX_ATTEMPTS {
        let is_success = !is_outage(*at);
        calls.push(Call { at: *at, is_success });
        *at += LATENCY;
        if is_success {
            return true;
        }
        if attempt + 1 < MAX_ATTEMPTS {
            *at += Duration::from_secs_f64(random.f64() * 2_f64.powi(attempt)).min(MAX_BACKOFF);
        }
    }
    false
}
