//! Growth of the daemon: samples of its memory and descriptors, compared between the first and the last third.

use std::fs;

/// A third with fewer samples is not judged.
const MIN_SAMPLES: usize = 3;
/// Memory that comes and goes without a leak, in KiB.
const MEMORY_SLACK: u64 = 256;
/// The same as a part of the memory.
const MEMORY_SLACK_PERCENT: u64 = 10;
/// Descriptors that come and go: idle connections to AWS.
const DESCRIPTOR_SLACK: u64 = 4;

/// The daemon's resources while no call is in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Counts the programs that have replaced each other.
    pub(super) program: usize,
    /// Private memory in KiB.
    pub(super) memory: u64,
    /// Open descriptors; `None` if this user may not list them.
    pub(super) descriptors: Option<u64>,
}

/// A value at the begin and at the end of a soak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trend {
    /// What was measured.
    pub what: &'static str,
    /// Median of the first third.
    pub first: u64,
    /// Median of the last third.
    pub last: u64,
    /// The most that the last third may have.
    pub limit: u64,
}

impl Trend {
    /// Whether the value has not grown.
    pub const fn is_flat(&self) -> bool {
        self.last <= self.limit
    }
}

/// Reads the resources of a process. `None` if it has ended.
pub(super) fn sample(pid: u32, program: usize) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let memory = line.trim().trim_end_matches(" kB").parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok();
    let descriptors = descriptors.map(|all| all.count().try_into().expect("a process has few descriptors"));
    Some(Sample { program, memory, descriptors })
}

/// Compares the memory of the last program, and the descriptors of all.
pub(super) fn trends(samples: &[Sample]) -> Vec<Trend> {
    let last = samples.last().map(|sample| sample.program);
    let of_last = samples.iter().filter(|sample| Some(sample.program) == last);
    let memory: Vec<u64> = of_last.map(|sample| sample.memory).collect();
    let descriptors: Vec<u64> = samples.iter().filter_map(|sample| sample.descriptors).collect();
    let memory =
        trend("private memory, KiB", &memory, |first| first + MEMORY_SLACK.max(first * MEMORY_SLACK_PERCENT / 100));
    let descriptors = trend("descriptors", &descriptors, |first| first + DESCRIPTOR_SLACK);
    memory.into_iter().chain(descriptors).collect()
}

fn trend(what: &'static str, values: &[u64], limit: impl Fn(u64) -> u64) -> Option<Trend> {
    let third = values.len() / 3;
    if third < MIN_SAMPLES {
        return None;
    }
    let (first, last) = (median(&values[..third]), median(&values[values.len() - third..]));
    Some(Trend { what, first, last, limit: limit(first) })
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(values: impl IntoIterator<Item = (usize, u64, u64)>) -> Vec<bool> {
        let sample = |(program, memory, descriptors)| Sample { program, memory, descriptors: Some(descriptors) };
        trends(&values.into_iter().map(sample).collect::<Vec<_>>()).iter().map(Trend::is_flat).collect()
    }

    #[test]
    fn growth_of_the_last_program_and_of_descriptors_found() {
        assert!(flat((0..8).map(|_| (0, 10_000, 20))).is_empty(), "too few samples");
        assert_eq!(flat((0..9).map(|_| (0, 10_000, 20))), [true, true]);
        assert_eq!(flat((0..30).map(|n| (0, 10_000 + 100 * n, 20))), [false, true]);
        assert_eq!(flat((0..30).map(|n| (0, 10_000, 20 + n))), [true, false]);
        let restarted = (0..30).map(|n| (usize::from(n >= 15), if n < 15 { 5_000 } else { 10_000 }, 20));
        assert_eq!(flat(restarted), [true, true], "another program has its own memory");
    }

    #[test]
    fn sample_of_this_process_has_memory() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let found = sample(std::process::id(), 0).unwrap();
        assert!(found.memory > 0 && found.descriptors.is_some_and(|count| count > 0), "{found:?}");
        assert!(sample(u32::MAX, 0).is_none());
    }
}
