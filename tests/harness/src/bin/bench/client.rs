//! The cost for one kubectl: `rolecall token` with a cached session, as a whole process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Context;
use crate::counts::{instructions, system_calls};
use crate::fixture::Fixture;
use crate::load::{durations, launched};
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "client";
/// Runs of each program.
const ROUNDS: usize = 1000;
/// Runs in one block.
pub(crate) const BLOCK: usize = 25;
/// Runs in one block of which the fastest tenth is taken: these runs are those that other load on the machine did not disturb.
const FASTEST_BLOCK: usize = 50;
/// Runs in one block of which a p99 is taken.
const P99_BLOCK: usize = 100;

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let fixture = Fixture::new(1);
    let _daemon = fixture.start(&context.programs);
    let (nothing, mut token) = (fixture.sandbox.command("/bin/true"), fixture.token_command(&context.programs));
    fixture.sandbox.run(&mut token).assert_ok();
    let [base, ours] = in_turn(&context.programs.load, [&nothing, &token]);
    let time = |what: &str, runs: &[Duration], share, block| {
        let Sample { value, spread } = Sample::micros(runs, share, block);
        Row::new(PART, what, value, "µs").spread(spread)
    };
    let ratio = Sample::ratio(&ours, &base, BLOCK);
    let what = "rolecall token, whole process, median";
    report.add(Row::new(PART, what, ratio.value, "× /bin/true").spread(ratio.spread).at_most(0.9));
    let fastest = Sample::ratio_at(0.1, &ours, &base, FASTEST_BLOCK);
    let what = "rolecall token, whole process, fastest tenth";
    report.add(Row::new(PART, what, fastest.value, "× /bin/true").spread(fastest.spread).lower_is_better());
    count(context, report, &nothing, &token);
    report.add(time("/bin/true, median", &base, 0.5, BLOCK).in_chart("/bin/true"));
    report.add(time("rolecall token, median", &ours, 0.5, BLOCK).in_chart("rolecall token"));
    report.add(time("rolecall token, p99", &ours, 0.99, P99_BLOCK));
}

/// Adds instructions and system calls of both programs.
fn count(context: &Context, report: &mut Report, nothing: &Command, token: &Command) {
    let load = &context.programs.load;
    for (name, command, bars) in [("rolecall token", token, Some((60_000.0, 30.0))), ("/bin/true", nothing, None)] {
        match instructions(load, command) {
            Ok(counted) => {
                let row = Row::new(PART, format!("{name}, user instructions ({})", counted.tool), counted.count, "");
                report.add(bars.map_or(row.clone(), |(bar, _)| row.at_most(bar)));
            }
            Err(reason) => report.missing(format!("{name}, user instructions"), reason),
        }
        match system_calls(load, command) {
            Ok(calls) => {
                let row = Row::new(PART, format!("{name}, system calls"), calls, "");
                report.add(bars.map_or(row.clone(), |(_, bar)| row.at_most(bar)));
            }
            Err(reason) => report.missing(format!("{name}, system calls"), reason),
        }
    }
}

/// Runs two programs alternately, [`ROUNDS`] times each, each time as the child of a new process.
pub(crate) fn in_turn(load: &Path, programs: [&Command; 2]) -> [Vec<Duration>; 2] {
    let mut programs = programs.map(|program| launched(load, program));
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (program, runs) in programs.iter_mut().zip(&mut runs) {
            runs.extend(durations(program));
        }
    }
    runs
}
