//! `cargo measure`: measures the numbers of the design on this machine.
//!
//! Builds the client as it is shipped (static where the platform allows it) and the daemon in release mode, runs them
//! against the embedded AWS, and prints a table with bar, measured value, spread and verdict. The audit log and all checks
//! of the daemon are on, as they are by default.

// The benchmark prints to the terminal, stops with a reason when a measurement fails, and measures real time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, clippy::disallowed_methods)]

mod build;
mod build_time;
mod cli;
mod client;
mod cold;
mod counts;
mod fixture;
mod fleet;
mod idle;
mod latency;
mod load;
mod longest;
mod machine;
mod memory;
mod peers;
mod process;
mod report;
mod sample;
mod scale;
mod size;
mod soak;
mod socket;
mod start;
mod throughput;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

use build::{Programs, workspace};
use cli::{Cli, Measure, Subcommands};
use machine::Machine;
use report::{Report, file};

/// A part of the table.
struct Part {
    name: &'static str,
    about: &'static str,
    measure: fn(&Context, &mut Report),
}

/// The parts, in the order of the table. All run by default: in about three minutes without `peers` and `fleet`.
const PARTS: [Part; 13] = [
    Part { name: "client", about: "rolecall token as a whole process, against /bin/true", measure: client::measure },
    Part { name: "scale", about: "rolecall token with 10,000 profiles, against 1", measure: scale::measure },
    Part { name: "cold", about: "1,000 callers at once, without a session", measure: cold::measure },
    Part {
        name: "throughput",
        about: "the daemon's connections and requests, against an empty server",
        measure: throughput::measure,
    },
    Part { name: "latency", about: "latency and processor time at 1,000 requests/s", measure: latency::measure },
    Part { name: "start", about: "the daemon from its start to ready and to its first token", measure: start::measure },
    Part {
        name: "memory",
        about: "resident memory: idle, with 10,000 profiles, with 2,000 sessions",
        measure: memory::measure,
    },
    Part { name: "idle", about: "wake-ups of an idle daemon in one minute", measure: idle::measure },
    Part {
        name: "longest",
        about: "the longest call, with a silent STS or a stopped daemon",
        measure: longest::measure,
    },
    Part {
        name: "peers",
        about: "other programs for kubectl's tokens, which tests/measure-peers.sh installs",
        measure: peers::measure,
    },
    Part {
        name: "fleet",
        about: "STS calls of 10,000 laptops over a simulated day with an outage",
        measure: fleet::measure,
    },
    Part { name: "size", about: "sizes of the programs", measure: size::measure },
    Part { name: "build", about: "processor time of clean builds, with --build", measure: build_time::measure },
];

/// What a part needs.
struct Context {
    programs: Programs,
    /// `--roles`
    roles: bool,
    /// `--slow-peers`
    slow_peers: bool,
    /// `--build`
    build: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Subcommands::Compare { before, now, threshold }) => compare(&before, &now, threshold.percent),
        Some(Subcommands::Soak { soak, programs }) => Ok(soak::run(&soak, &programs)),
        None => measure(&cli.measure),
    };
    match done {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("measure: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Compares two files.
fn compare(before: &Path, now: &Path, threshold: f64) -> Result<ExitCode, String> {
    let comparison = Report::read(now)?.compare(&Report::read(before)?, threshold);
    print!("{}", comparison.text);
    Ok(ExitCode::from(u8::from(comparison.got_worse)))
}

/// Measures the parts that are named, or all, and writes the results.
fn measure(options: &Measure) -> Result<ExitCode, String> {
    // Before the run: it may replace the file that it is compared with.
    let earlier = options.compare.as_deref().map(Report::read).transpose()?;
    let context = Context {
        programs: build::programs(&options.programs),
        roles: options.roles,
        slow_peers: options.slow_peers,
        build: options.build,
    };
    let mut report = Report::new(Machine::this());
    report.machine_mut().add_version(&context.programs.client);
    let is_chosen = |part: &&Part| options.parts.is_empty() || options.parts.iter().any(|name| name == part.name);
    let mut has_failed = false;
    for part in PARTS.iter().filter(is_chosen) {
        eprintln!("measuring {}", part.name);
        has_failed |= !run(part, &context, &mut report);
    }
    let files = Files::new(options);
    files.show(&report.table());
    files.write(&report)?;
    let mut got_worse = false;
    if let Some(earlier) = earlier {
        let comparison = report.compare(&earlier, options.threshold.percent);
        files.show(&format!("\n{}", comparison.text));
        got_worse = comparison.got_worse;
    }
    Ok(ExitCode::from(u8::from(has_failed || got_worse)))
}

/// Measures one part. If it fails, the other parts are still measured. Returns whether it succeeded.
fn run(part: &Part, context: &Context, report: &mut Report) -> bool {
    let done = catch_unwind(AssertUnwindSafe(|| (part.measure)(context, report)));
    if done.is_err() {
        report.missing(format!("the rest of part {}", part.name), "it failed, see the message above");
    }
    done.is_ok()
}

/// What an output file contains.
type Content = fn(&Report) -> String;

/// The output files of a run.
struct Files(Vec<(PathBuf, Content)>);

impl Files {
    fn new(options: &Measure) -> Self {
        let json = options.json.clone().unwrap_or_else(|| workspace().join("target/measure.json"));
        let mut files: Vec<(PathBuf, Content)> = vec![(json, Report::json)];
        files.extend(options.markdown.clone().map(|path| (path, Report::markdown as Content)));
        files.extend(options.svg.clone().map(|path| (path, Report::svg as Content)));
        Self(files)
    }

    fn write(&self, report: &Report) -> Result<(), String> {
        self.0.iter().try_for_each(|(path, content)| file::write(path, &content(report)))
    }

    /// Prints a text on standard output, or on standard error if standard output is one of the files.
    fn show(&self, text: &str) {
        if self.0.iter().any(|(path, _)| path == Path::new("-")) { eprint!("{text}") } else { print!("{text}") }
    }
}
