//! The longest call: `rolecall token` when STS or the daemon does not answer.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use rolecall_harness::{Fault, Gate, Op};

use crate::Context;
use crate::fixture::Fixture;
use crate::report::{Report, Row};

/// Both cases at the same time: each waits for a deadline, and neither needs the processor.
pub(crate) fn measure(context: &Context, report: &mut Report) {
    let [silent_sts, stopped_daemon] = [Fixture::new(1), Fixture::new(1)];
    let [_daemon, stopped] = [&silent_sts, &stopped_daemon].map(|fixture| fixture.start(&context.programs));
    silent_sts.aws.fault(Op::AssumeRole, Fault::Hold(Gate::new()).forever());
    stopped.stop();
    let times = thread::scope(|scope| {
        let running = [&silent_sts, &stopped_daemon].map(|fixture| {
            let mut command = fixture.token_command(&context.programs);
            scope.spawn(move || seconds_until_failure(&mut command))
        });
        running.map(|running| running.join().expect("the call fails"))
    });
    stopped.resume();
    for (what, time) in ["STS does not answer", "the daemon is stopped"].into_iter().zip(times) {
        report.add(Row::new("longest", format!("rolecall token, {what}"), time, "s").at_most(10.0));
    }
}

/// Runs a command that has to fail. Returns its time in tenths of a second, in which the bar is met: a process that ends
/// at its deadline of 10 s ends a few milliseconds later.
fn seconds_until_failure(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("the client can be started");
    let took = begin.elapsed();
    assert!(!status.success(), "the call succeeded");
    (took.as_secs_f64() * 10.0).round() / 10.0
}
