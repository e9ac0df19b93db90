//! `cargo measure [PART…] [--idle] [--roles]`: measures the numbers of the design on this machine.
//!
//! Builds the client as it is shipped (static where the platform allows it) and the daemon in release mode, runs them
//! against the embedded AWS, prints a table with the limit beside each number, and writes `target/measure.json`. It
//! does not fail when a number exceeds its limit. Programs that are compared run alternately in one run, so that the
//! speed of the machine cancels out.

// The benchmark prints to the terminal, stops with a reason when a measurement fails, and measures real time.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::disallowed_methods)]

mod build;
mod exec;
mod fixture;
mod idle;
mod memory;
mod report;
mod scale;
mod socket;
mod start;

use std::env;

use build::Programs;
use report::Row;

/// Measures one part.
type Measure = fn(&Programs, &Flags) -> Vec<Row>;

/// The parts by name. Without names, all parts run that need no flag.
const PARTS: [(&str, Measure); 5] = [
    ("exec", |programs, _| exec::measure(programs)),
    ("start", |programs, _| start::measure(programs)),
    ("scale", |programs, _| scale::measure(programs)),
    ("memory", |programs, flags| memory::measure(programs, flags.roles)),
    ("idle", |programs, _| idle::measure(programs)),
];

/// Measurements that take minutes and run only on request.
#[derive(Default)]
struct Flags {
    /// `--idle`: also one minute of an idle daemon.
    idle: bool,
    /// `--roles`: the sessions of `memory` are real ones, at the five STS calls per second of the daemon.
    roles: bool,
}

fn main() {
    let (flags, names) = arguments();
    println!("building the client as it is shipped, and the daemon in release mode");
    let programs = build::programs();
    let mut rows = Vec::new();
    for (name, measure) in PARTS {
        let chosen = names.iter().any(|chosen| chosen == name);
        if chosen || (name == "idle" && flags.idle) || (name != "idle" && names.is_empty()) {
            println!("measuring {name}");
            rows.extend(measure(&programs, &flags));
        }
    }
    report::print(&rows);
    report::write(&rows);
}

fn arguments() -> (Flags, Vec<String>) {
    let (mut flags, mut names) = (Flags::default(), Vec::new());
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--idle" => flags.idle = true,
            "--roles" => flags.roles = true,
            _ => names.push(argument),
        }
    }
    let parts = PARTS.map(|(part, _)| part);
    for name in &names {
        assert!(
            parts.contains(&name.as_str()),
            "unknown part {name}; parts and flags: {} --idle --roles",
            parts.join(" ")
        );
    }
    (flags, names)
}
