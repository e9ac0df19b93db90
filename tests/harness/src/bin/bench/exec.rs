//! The cost for one kubectl: `rolecall token` with a cached session, as a whole process.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::build::Programs;
use crate::fixture::Fixture;
use crate::report::{Row, median, micros, millis, percentile};

const PART: &str = "exec";
const ROUNDS: usize = 1000;

pub(crate) fn measure(programs: &Programs) -> Vec<Row> {
    let fixture = Fixture::new(1);
    let _daemon = fixture.start(programs);
    let mut token = fixture.token_command(programs);
    fixture.sandbox.run(&mut token).assert_ok();
    let [mut base, mut runs] = in_turn([&mut fixture.sandbox.command("/bin/true"), &mut token]);
    let (nothing, ours) = (micros(median(&mut base)), micros(median(&mut runs)));
    vec![
        Row::new(PART, "/bin/true, median", nothing, "µs"),
        Row::new(PART, "rolecall token, median", ours, "µs"),
        Row::new(PART, "rolecall token, median", ours / nothing, "× /bin/true").at_most(0.9),
        Row::new(PART, "rolecall token, p99", millis(percentile(&mut runs, 99)), "ms").at_most(10.0),
    ]
}

/// Runs two programs alternately, [`ROUNDS`] times each.
pub(crate) fn in_turn(mut programs: [&mut Command; 2]) -> [Vec<Duration>; 2] {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (program, runs) in programs.iter_mut().zip(&mut runs) {
            runs.push(once(program));
        }
    }
    runs
}

/// Measures one process, from before its start until after its end.
fn once(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("the program can be started");
    let took = begin.elapsed();
    assert!(status.success(), "{status}");
    took
}
