//! The STS calls of a fleet of laptops over a simulated day, beside those of the AWS CLI.
//!
//! `rolecall-fleet` runs the policy of the daemon in simulated time. Its result depends on the seed only, so the rows have no
//! spread.

use std::process::Command;

use serde::Deserialize;

use crate::Context;
use crate::build;
use crate::report::{Report, Row};

const PART: &str = "fleet";

/// What `rolecall-fleet --json` prints.
#[derive(Debug, Deserialize)]
struct Simulation {
    /// The model in words.
    model: String,
    rows: Vec<Simulated>,
}

#[derive(Debug, Deserialize)]
struct Simulated {
    what: String,
    unit: String,
    rolecall: f64,
    aws_cli: Option<f64>,
    at_most: Option<f64>,
}

pub(crate) fn measure(_: &Context, report: &mut Report) {
    let output = Command::new(build::fleet()).arg("--json").output().expect("rolecall-fleet can be started");
    assert!(output.status.success(), "the simulation failed: {}", String::from_utf8_lossy(&output.stderr));
    let simulation: Simulation = serde_json::from_slice(&output.stdout).expect("the simulation prints JSON");
    eprintln!("simulated {}", simulation.model);
    simulation.rows.iter().flat_map(rows).for_each(|row| report.add(row));
}

/// Returns the row of Rolecall, and that of the AWS CLI for information.
fn rows(simulated: &Simulated) -> impl Iterator<Item = Row> {
    let Simulated { what, unit, rolecall, aws_cli, at_most } = simulated;
    let row = |what: String, value| Row::new(PART, what, value, unit);
    let rolecall = row(what.clone(), *rolecall);
    let rolecall = match at_most {
        Some(limit) => rolecall.at_most(*limit),
        None => rolecall,
    };
    [Some(rolecall), aws_cli.map(|value| row(format!("{what}, AWS CLI"), value))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn rows_have_the_limits_of_the_simulation() {
        let json = r#"{ "model": "8 laptops", "rows": [
            { "what": "peak after the outage", "unit": "× steady", "rolecall": 2.5, "aws_cli": 1.25, "at_most": 2.0 },
            { "what": "runs that failed while a session was valid", "unit": "runs", "rolecall": 0.0, "aws_cli": null, "at_most": 0.0 }
        ] }"#;
        let simulation: Simulation = serde_json::from_str(json).unwrap();
        let mut report = Report::new(Machine::this());
        simulation.rows.iter().flat_map(rows).for_each(|row| report.add(row));
        let table = report.table();
        let line = |what: &str| table.lines().find(|line| line.contains(what)).unwrap().to_owned();
        assert!(line("peak after the outage ").contains("missed by 25 %"), "{table}");
        assert!(line("peak after the outage, AWS CLI").contains("1.25 × steady"), "{table}");
        assert!(line("while a session was valid").contains("met"), "{table}");
    }
}
