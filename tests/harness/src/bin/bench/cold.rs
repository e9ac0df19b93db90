//! 1,000 callers at once, without a session.

use std::time::Duration;

use rolecall_harness::{Fault, Op};

use crate::Context;
use crate::fixture::Fixture;
use crate::load::burst;
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "cold";
/// The daemon lets one process have 64 connections, so the callers are in several processes.
const PROCESSES: usize = 20;
const CALLERS_PER_PROCESS: usize = 50;
const ROUNDS: usize = 5;
/// How long the embedded STS takes. Far STS endpoints take as long, and all callers arrive in that time.
const STS_LATENCY: Duration = Duration::from_millis(400);

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| round(context)).collect();
    let calls = Sample::of_repetitions(&rounds.iter().map(|(calls, _)| *calls).collect::<Vec<_>>());
    let excess = Sample::of_repetitions(&rounds.iter().map(|(_, excess)| *excess).collect::<Vec<_>>());
    report.add(Row::new(PART, "AssumeRole calls for 1,000 callers", calls.value, "").spread(calls.spread).at_most(1.0));
    let what = "last of 1,000 callers served, beyond the STS latency";
    report.add(Row::new(PART, what, excess.value, "ms").spread(excess.spread).at_most(250.0).not_compared());
}

/// Returns the number of AssumeRole calls, and the time of the slowest caller beyond the latency of STS in ms.
#[allow(clippy::cast_precision_loss)] // small numbers
fn round(context: &Context) -> (f64, f64) {
    let fixture = Fixture::new(1);
    let _daemon = fixture.start(&context.programs);
    fixture.aws.fault(Op::AssumeRole, Fault::Delay(STS_LATENCY).forever());
    let served = burst(context, &fixture, PROCESSES, CALLERS_PER_PROCESS);
    let last = served.iter().max().expect("callers were served");
    let calls = fixture.aws.calls(Op::AssumeRole);
    (calls as f64, (last.as_secs_f64() - STS_LATENCY.as_secs_f64()) * 1e3)
}
