//! `cargo measure soak`: the daemon under load with random faults, for a time.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::SignedDuration;
use rolecall_harness::soak::{self, Progress, SoakLength, SoakOptions};

use crate::build;
use crate::cli::ProgramPaths;

/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Options of the soak.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long it runs: 60s, 20m, 24h
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "60s")]
    pub(crate) time: Duration,
    /// Repeats the order of faults and the choices of callers of an earlier run [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// How many callers ask at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub(crate) callers: usize,
}

fn time(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).map_err(|error| error.to_string())
}

/// Runs the soak and prints its table. Fails if anything was not as it has to be.
pub(crate) fn run(arguments: &SoakArgs, programs: &ProgramPaths) -> ExitCode {
    let [client, daemon] = build::shipped(programs);
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let (length, callers) = (SoakLength::For(arguments.time), arguments.callers);
    eprintln!("soak for {:?} with {callers} callers; repeat it with: --seed {seed}", arguments.time);
    let (mut printed, mut texts) = (Instant::now(), 0);
    let report = soak::run(&SoakOptions { client, daemon, seed, length, callers }, |progress| {
        if printed.elapsed() >= PROGRESS_INTERVAL {
            printed = Instant::now();
            eprintln!("{}", line(progress));
        }
        progress.texts.iter().skip(texts).for_each(|text| eprintln!("VIOLATION {text}"));
        texts = progress.texts.len();
    });
    print!("{report}");
    ExitCode::from(u8::from(!report.is_ok()))
}

fn line(progress: &Progress) -> String {
    let Progress { elapsed, fault, answers, violations, memory, .. } = progress;
    let memory = memory.map(|memory| format!(", {memory} KiB")).unwrap_or_default();
    format!("{} s: {answers} answers, {violations} violations{memory}; next: {}", elapsed.as_secs(), fault.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_unit() {
        assert_eq!(time("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(time("24h"), Ok(Duration::from_hours(24)));
        assert!(time("60").is_err() && time("-1h").is_err());
    }
}
