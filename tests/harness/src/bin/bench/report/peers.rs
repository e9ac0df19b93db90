//! The comparison with other programs, a table of its own.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::number;
use crate::sample::Sample;

/// One program, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The median time of one call with warm caches.
    pub(crate) warm_millis: f64,
    /// The same against Rolecall, in interleaved runs. `None` for Rolecall itself.
    pub(crate) against_rolecall: Option<Sample>,
    /// The median time of one call without caches.
    pub(crate) cold_millis: f64,
    /// The peak resident memory of one call, with the programs that it starts.
    pub(crate) memory_mb: f64,
    /// The resident memory of Rolecall's daemon.
    pub(crate) daemon_memory_mb: Option<f64>,
    pub(crate) crowds: Vec<Crowd>,
    /// `None` without kubectl.
    pub(crate) kubectl: Option<Kubectl>,
}

/// Calls at the same time, without caches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) count: u32,
    pub(crate) seconds: f64,
    pub(crate) failures: usize,
    pub(crate) sts_calls: usize,
}

/// Runs of `kubectl get pods`, alternately with a static token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kubectl {
    pub(crate) runs: u32,
    pub(crate) millis: f64,
    pub(crate) static_token_millis: f64,
    pub(crate) against_static_token: Sample,
    /// STS calls of the program in these runs.
    pub(crate) sts_calls: usize,
    /// STS calls of the API server in these runs.
    pub(crate) sts_calls_of_cluster: usize,
}

const HEADER: [&str; COLUMNS] = [
    "program",
    "warm, ms",
    "× rolecall",
    "cold, ms",
    "memory, MB",
    "20 at once: s, failed, STS",
    "200 at once",
    "kubectl × static token",
    "STS for 100 kubectl",
];
const COLUMNS: usize = 9;
/// What the columns mean.
const LEGEND: &str = "\
warm, cold: one token with and without caches. 20 and 200 at once: without caches, until the last has ended. STS: calls by the \
program. kubectl: get pods, against a kubeconfig with a token. STS for 100 kubectl: calls by the program, and by the API server. \
STS responds at once here, without a network. -: not measured, see --slow-peers.";

/// Returns the lines of the table. Empty if no program was measured.
pub(super) fn lines(peers: &[Peer]) -> Vec<[String; COLUMNS]> {
    if peers.is_empty() {
        return Vec::new();
    }
    std::iter::once(HEADER.map(str::to_owned)).chain(peers.iter().map(cells)).collect()
}

/// Returns what the columns mean, and the versions of the programs. Empty if no program was measured.
pub(super) fn legend(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return String::new();
    }
    let mut versions: Vec<String> = peers.iter().map(|peer| format!("{}: {}", peer.name, peer.version)).collect();
    versions.dedup();
    format!("{LEGEND}\n\nVersions: {}.\n", versions.join("; "))
}

/// Returns the table in Markdown with its legend. Empty if no program was measured.
pub(super) fn markdown(peers: &[Peer]) -> String {
    let mut text = String::new();
    for (index, line) in lines(peers).iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | ")); // a String accepts every write
        if index == 0 {
            let _ = writeln!(text, "|---|{}", "--:|".repeat(line.len() - 1));
        }
    }
    let legend = legend(peers);
    if legend.is_empty() { text } else { format!("{text}\n{legend}") }
}

fn cells(peer: &Peer) -> [String; COLUMNS] {
    let memory = match peer.daemon_memory_mb {
        Some(daemon) => format!("{} + daemon {}", number::text(peer.memory_mb), number::text(daemon)),
        None => number::text(peer.memory_mb),
    };
    let crowd = |count| text_or_dash(peer.crowds.iter().find(|crowd| crowd.count == count).map(crowd_text));
    let kubectl = peer.kubectl.as_ref();
    [
        peer.name.clone(),
        number::text(peer.warm_millis),
        text_or_dash(peer.against_rolecall.as_ref().map(ratio_text)),
        number::text(peer.cold_millis),
        memory,
        crowd(20),
        crowd(200),
        text_or_dash(kubectl.map(|kubectl| ratio_text(&kubectl.against_static_token))),
        text_or_dash(kubectl.map(calls_text)),
    ]
}

fn text_or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// For example `845 (790–901)`.
fn ratio_text(sample: &Sample) -> String {
    let [value, low, high] = [sample.value, sample.spread.low, sample.spread.high].map(number::text);
    format!("{value} ({low}–{high})")
}

/// For example `9.64, 0, 20`.
fn crowd_text(crowd: &Crowd) -> String {
    format!("{}, {}, {}", number::text(crowd.seconds), crowd.failures, crowd.sts_calls)
}

/// For example `100 + 100`. Calls of fewer runs are scaled, and the number of runs follows.
fn calls_text(kubectl: &Kubectl) -> String {
    let runs = usize::try_from(kubectl.runs).unwrap_or(usize::MAX).max(1);
    let [program, cluster] = [kubectl.sts_calls, kubectl.sts_calls_of_cluster].map(|calls| calls * 100 / runs);
    let counted = if runs == 100 { String::new() } else { format!(" (counted in {runs})") };
    format!("{program} + {cluster}{counted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Spread;

    fn sample(value: f64) -> Sample {
        Sample { value, spread: Spread { low: value - 0.5, high: value + 0.5 } }
    }

    #[test]
    fn table_has_a_line_for_each_program() {
        let kubectl = Kubectl {
            runs: 4,
            millis: 900.0,
            static_token_millis: 60.0,
            against_static_token: sample(15.0),
            sts_calls: 4,
            sts_calls_of_cluster: 4,
        };
        let peer = Peer {
            name: "aws".to_owned(),
            version: "2".to_owned(),
            warm_millis: 845.2,
            against_rolecall: Some(sample(800.0)),
            cold_millis: 900.0,
            memory_mb: 61.0,
            daemon_memory_mb: None,
            crowds: vec![Crowd { count: 20, seconds: 9.64, failures: 0, sts_calls: 20 }],
            kubectl: Some(kubectl),
        };
        let line =
            "| aws | 845 | 800 (800–800) | 900 | 61 | 9.64, 0, 20 | - | 15 (14.5–15.5) | 100 + 100 (counted in 4) |";
        assert_eq!(markdown(&[peer]).lines().nth(2), Some(line));
        assert_eq!(markdown(&[]), "");
    }
}
