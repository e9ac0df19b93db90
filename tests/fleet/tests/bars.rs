//! The bars of the design, with a small fleet.

use rolecall_fleet::{Fleet, Report, Usage};

#[test]
fn bars_hold_for_300_laptops() {
    let fleet = Fleet::simulate(300, 1);
    let report = Report::new(&fleet, fleet.window());
    assert_eq!(report.rows.iter().filter(|row| row.at_most.is_some()).count(), 4);
    assert!(report.rows.iter().all(rolecall_fleet::Row::holds), "{report}");
    // Without a session, only the first use of a role fails. Sessions outlive the outage.
    assert_eq!(fleet.rolecall.failures.len(), fleet.rolecall.first_use_failures, "{report}");
    assert!(fleet.aws_cli.failures.len() > 20 * fleet.rolecall.failures.len(), "{report}");
}

#[test]
fn one_seed_gives_one_result() {
    let [first, second] = [(); 2].map(|()| Fleet::simulate(8, 7));
    assert_eq!(first.rolecall, second.rolecall);
    assert_eq!(first.aws_cli, second.aws_cli);
    assert_ne!(first.rolecall, Fleet::simulate(8, 8).rolecall);
}

#[test]
fn usage_pauses_at_lunch() {
    let usage = Usage::random(1);
    assert!(usage.runs.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!(usage.runs.iter().all(|run| run.at < usage.lunch.start || run.at >= usage.lunch.end));
    assert!(usage.first_uses().count() > 3);
}
