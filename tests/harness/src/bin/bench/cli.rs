//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::PARTS;
use crate::soak::SoakArgs;

/// Measures Rolecall on this machine: speed, memory and size, each number beside its bar.
///
/// Programs that are compared run alternately in one run, so the speed of the machine cancels out. A missed bar is no
/// failure. Exit code 1: a row got worse (--compare), or a part could not be measured.
#[derive(Debug, Parser)]
#[command(name = "cargo measure", args_conflicts_with_subcommands = true, after_help = parts_help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Subcommands>,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

/// Commands beside the table.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Compares two earlier runs without measuring
    Compare {
        /// The earlier run, as --json wrote it
        before: PathBuf,
        /// The later run
        now: PathBuf,
        #[command(flatten)]
        threshold: Threshold,
    },
    /// Runs the daemon under load with random faults, and checks every answer
    ///
    /// Exit code 1: a wrong answer, a failed call while the daemon held a valid session, growth, or a leaked secret.
    Soak {
        #[command(flatten)]
        soak: SoakArgs,
        #[command(flatten)]
        programs: ProgramPaths,
    },
}

/// Options of the table.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// Parts to measure instead of all
    #[arg(value_name = "PART", value_parser = PARTS.map(|part| part.name))]
    pub(crate) parts: Vec<String>,
    /// Writes the result as JSON; - is standard output [default: target/measure.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the rows with a bar as a Markdown table; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Writes a chart as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Compares with an earlier run, and fails if a row got worse
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) threshold: Threshold,
    /// Also measures clean builds, which takes up to half an hour
    #[arg(long)]
    pub(crate) build: bool,
    /// The 2,000 sessions of part memory are those of roles, which takes 7 min: the daemon calls STS five times a second
    #[arg(long)]
    pub(crate) roles: bool,
    #[command(flatten)]
    pub(crate) programs: ProgramPaths,
}

/// Programs to measure instead of those that this source builds.
#[derive(Debug, Args)]
pub(crate) struct ProgramPaths {
    /// Measures this rolecall instead of building it
    #[arg(long, value_name = "PATH")]
    pub(crate) client: Option<PathBuf>,
    /// Measures this rolecalld instead of building it
    #[arg(long, value_name = "PATH")]
    pub(crate) daemon: Option<PathBuf>,
}

/// How much worse is a regression.
#[derive(Debug, Args)]
pub(crate) struct Threshold {
    /// Rows that are worse by up to this share are no regression
    #[arg(long = "threshold", value_name = "PERCENT", default_value_t = 10.0)]
    pub(crate) percent: f64,
}

fn parts_help() -> String {
    let lines = PARTS.iter().map(|part| format!("  {:<11}{}\n", part.name, part.about));
    format!("Parts:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn part_and_subcommand_are_distinct() {
        let parsed = |arguments: &[&str]| Cli::try_parse_from([&["measure"], arguments].concat());
        assert_eq!(parsed(&["client", "memory"]).unwrap().measure.parts, ["client", "memory"]);
        let compare = parsed(&["compare", "a.json", "b.json", "--threshold", "5"]).unwrap().command;
        assert!(
            matches!(compare, Some(Subcommands::Compare { threshold: Threshold { percent: 5.0 }, .. })),
            "{compare:?}"
        );
        assert!(parsed(&["unknown"]).is_err());
        let soak = parsed(&["soak", "--for", "20m", "--seed", "7", "--client", "a", "--daemon", "b"]).unwrap().command;
        let Some(Subcommands::Soak { soak, programs }) = soak else { panic!("{soak:?}") };
        assert_eq!((soak.time, soak.seed), (std::time::Duration::from_mins(20), Some(7)));
        assert!(programs.client.is_some() && programs.daemon.is_some());
    }
}
