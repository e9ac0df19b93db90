//! `cargo measure [PART…] [--idle] [--roles]`: what the design's bars are about, on this machine.
//!
//! Builds the client as it is shipped (static where the platform can) and the daemon in release, runs them against the
//! embedded AWS, prints a table with the bar beside each number, and writes `target/measure.json`. It measures and judges
//! nothing. Times are compared within one run, the programs in turn, so that the machine's speed cancels out.

// A measurement talks to a person, stops with a reason when it cannot be made, and is about the real clock.
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

/// What is measured, by the name that chooses it. Without names it is all that needs no flag.
const PARTS: [(&str, Measure); 5] = [
    ("exec", |programs, _| exec::measure(programs)),
    ("start", |programs, _| start::measure(programs)),
    ("scale", |programs, _| scale::measure(programs)),
    ("memory", |programs, flags| memory::measure(programs, flags.roles)),
    ("idle", |programs, _| idle::measure(programs)),
];

/// What takes minutes, and so is done only when it is asked for.
#[derive(Default)]
struct Flags {
    /// `--idle`: a minute of doing nothing, too.
    idle: bool,
    /// `--roles`: the sessions of `memory` are real ones, at the five a second that the daemon asks STS for.
    roles: bool,
}

fn main() {
    let (flags, names) = arguments();
    println!("building the client as it is shipped, and the daemon in release");
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
        assert!(parts.contains(&name.as_str()), "there is no {name}; there are: {} --idle --roles", parts.join(" "));
    }
    (flags, names)
}
